package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"taskgrid/internal/rpc"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// read returns a certificate.
func read(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func makeAll(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	if made, err := Make(dir, now, Options{Valid: 30 * 24 * time.Hour, Owner: -1}); err != nil || len(made) != len(roles) {
		t.Fatalf("Make: %v, %v", made, err)
	}
	return dir
}

func TestEachRoleIsSignedForItselfAlone(t *testing.T) {
	dir := makeAll(t)
	pool := x509.NewCertPool()
	pool.AddCert(read(t, filepath.Join(dir, caFolder, CA)))
	for _, r := range roles {
		cert := read(t, filepath.Join(dir, string(r.Role), Cert))
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if r.serves {
			usages = append(usages, x509.ExtKeyUsageServerAuth)
		}
		if !slices.Equal(cert.ExtKeyUsage, usages) || cert.IsCA {
			t.Errorf("%s: usages %v, CA %v; want %v and no CA", r.Role, cert.ExtKeyUsage, cert.IsCA, usages)
		}
		for _, other := range roles {
			_, err := cert.Verify(x509.VerifyOptions{Roots: pool, DNSName: other.Name(), CurrentTime: now, KeyUsages: usages[:1]})
			if want := other.Role == r.Role || slices.Contains(r.names, other.Role); (err == nil) != want {
				t.Errorf("the certificate of %s taken for %s: %v, want accepted %v", r.Role, other.Role, err, want)
			}
		}
	}
}

func TestSecretsAreTheirOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode there")
	}
	dir := makeAll(t)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		want := fs.FileMode(0o600)
		if strings.HasSuffix(path, Cert) || strings.HasSuffix(path, CA) {
			want = 0o644
		}
		if err == nil && info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, r := range roles {
		_, err := os.Stat(filepath.Join(dir, string(r.Role), Token))
		if (err == nil) != r.member {
			t.Errorf("join token of %s: %v, want one: %v", r.Role, err, r.member)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, caFolder, Token))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.ParseToken(text); err != nil {
		t.Errorf("the token that was made is refused: %v", err)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := makeAll(t)
	before := read(t, filepath.Join(dir, string(rpc.Worker), Cert))
	if made, err := Make(dir, now, Options{Valid: time.Hour, Owner: -1}); !errors.Is(err, ErrExists) || len(made) > 0 {
		t.Errorf("Make into a folder that is not empty: %v, %v, want ErrExists", made, err)
	}
	if after := read(t, filepath.Join(dir, string(rpc.Worker), Cert)); !after.Equal(before) {
		t.Error("the certificate has changed")
	}
}

func TestRenewingMakesWhatIsMissingOrOld(t *testing.T) {
	dir := makeAll(t)
	ca := read(t, filepath.Join(dir, caFolder, CA))
	renew := func(at time.Time) []rpc.Role {
		t.Helper()
		made, err := Make(dir, at, Options{Valid: 30 * 24 * time.Hour, Owner: -1, Renew: true})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	if made := renew(now.Add(14 * 24 * time.Hour)); len(made) > 0 {
		t.Errorf("after 14 of 30 days %v were renewed, want none", made)
	}
	if err := os.Remove(filepath.Join(dir, string(rpc.Worker), Cert)); err != nil {
		t.Fatal(err)
	}
	if made := renew(now); !slices.Equal(made, []rpc.Role{rpc.Worker}) {
		t.Errorf("with the worker's certificate lost, made %v, want the worker's", made)
	}
	if made := renew(now.Add(16 * 24 * time.Hour)); len(made) != len(roles) {
		t.Errorf("after 16 of 30 days %v were renewed, want all", made)
	}
	if !read(t, filepath.Join(dir, caFolder, CA)).Equal(ca) {
		t.Error("renewing replaced the CA")
	}
	if err := read(t, filepath.Join(dir, string(rpc.Worker), Cert)).CheckSignatureFrom(ca); err != nil {
		t.Errorf("the renewed certificate: %v", err)
	}
}
