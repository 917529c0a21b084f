// Package certs makes what a grid with TLS needs: a CA, a certificate and key for each role, and a join token, in one
// folder:
//
//	DIR/ca/          ca.pem, ca.key, join-token     stays with the person who runs the grid
//	DIR/dispatcher/  ca.pem, cert.pem, key.pem, join-token
//	DIR/client/      ca.pem, cert.pem, key.pem
//	…
//
// The folder of a role is all that a process of the role is given. Keys are ECDSA P-256, files that are secrets have the
// mode 0600. A certificate says the role by a DNS name (see rpc.Role) and nothing of an address.
package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"taskgrid/internal/rpc"
)

// The names of the files.
const (
	CA    = "ca.pem"
	Cert  = "cert.pem"
	Key   = "key.pem"
	Token = "join-token"

	caFolder = "ca"
	caKey    = "ca.key"
)

const (
	// caValid is longer than any grid of one CA should live, and short enough that a lost key does not count for ever.
	caValid = 10 * 365 * 24 * time.Hour

	// clockSkew is how far the clock of another machine may lag behind ours.
	clockSkew = time.Hour
)

// roles are those that get a folder. Those who serve may be called; members have the join token.
var roles = []struct {
	rpc.Role
	serves, member bool
	names          []rpc.Role // beside its own
}{
	{Role: rpc.NameService, serves: true, member: true},
	{Role: rpc.Dispatcher, serves: true, member: true},
	{Role: rpc.Worker, serves: true, member: true},
	{Role: rpc.Monitoring, serves: true},
	{Role: rpc.Client},
	{Role: rpc.Operator, member: true, names: []rpc.Role{rpc.Client}},
}

// Options say what to make.
type Options struct {
	Valid time.Duration // how long the roles' certificates hold
	Owner int           // uid that is to own the roles' files; -1: whoever runs this
	Renew bool          // go on from what is there
}

// ErrExists means that the folder has something in it, and Options.Renew was not asked for.
var ErrExists = errors.New("is there already")

// Make makes the folder at dir and returns the roles whose certificates it made: all, or with Options.Renew those that
// were missing or have less than half of their life left. The CA and the token are never replaced.
func Make(dir string, now time.Time, o Options) (made []rpc.Role, err error) {
	if err := checkFolder(dir, o.Renew); err != nil {
		return nil, err
	}
	authority, err := openCA(filepath.Join(dir, caFolder), now)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		folder := filepath.Join(dir, string(r.Role))
		if fresh(filepath.Join(folder, Cert), now) {
			continue
		}
		files, err := authority.issue(append([]rpc.Role{r.Role}, r.names...), r.serves, now, o.Valid)
		if err != nil {
			return made, err
		}
		if r.member {
			files[Token] = authority.token
		}
		// The certificate comes last: where it is, all is.
		for _, name := range []string{CA, Token, Key, Cert} {
			if content, ok := files[name]; ok {
				if err := write(filepath.Join(folder, name), content, o.Owner); err != nil {
					return made, err
				}
			}
		}
		made = append(made, r.Role)
	}
	return made, nil
}

// checkFolder refuses a folder that has something in it, unless it is to be renewed.
func checkFolder(dir string, renew bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !renew {
		return fmt.Errorf("%s: %w: nothing is overwritten; --renew makes new certificates of the CA in it", filepath.Join(dir, entries[0].Name()), ErrExists)
	}
	return nil
}

// fresh says whether the certificate is there and has more than half of its life before it.
func fresh(path string, now time.Time) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	made := cert.NotBefore.Add(clockSkew)
	return now.Before(made.Add(cert.NotAfter.Sub(made) / 2))
}

// authority is a CA.
type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     any
	token   []byte
}

// openCA reads the CA in a folder, or makes one if it is empty.
func openCA(folder string, now time.Time) (*authority, error) {
	certPath, keyPath, tokenPath := filepath.Join(folder, CA), filepath.Join(folder, caKey), filepath.Join(folder, Token)
	certPEM, err := os.ReadFile(certPath)
	if errors.Is(err, fs.ErrNotExist) {
		return makeCA(certPath, keyPath, tokenPath, now)
	}
	if err != nil {
		return nil, err
	}
	a := &authority{certPEM: certPEM}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are not a CA and its key: %w", certPath, keyPath, err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s: expired on %s: a new CA needs a new folder", certPath, pair.Leaf.NotAfter.Format(time.DateTime))
	}
	a.cert, a.key = pair.Leaf, pair.PrivateKey
	a.token, err = os.ReadFile(tokenPath)
	return a, err
}

func makeCA(certPath, keyPath, tokenPath string, now time.Time) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "taskgrid CA"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caValid),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	a := &authority{token: []byte(rand.Text() + rand.Text() + "\n")} // 260 random bits
	files, err := a.sign(template)
	if err != nil {
		return nil, err
	}
	a.certPEM = files[Cert]
	pair, err := tls.X509KeyPair(files[Cert], files[Key])
	if err != nil {
		return nil, err
	}
	a.cert, a.key = pair.Leaf, pair.PrivateKey
	const mine = -1
	return a, errors.Join(write(tokenPath, a.token, mine), write(keyPath, files[Key], mine), write(certPath, files[Cert], mine))
}

// issue makes a certificate for roles, and returns the files.
func (a *authority) issue(names []rpc.Role, serves bool, now time.Time, valid time.Duration) (map[string][]byte, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "taskgrid " + string(names[0])},
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    now.Add(valid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, r := range names {
		template.DNSNames = append(template.DNSNames, r.Name())
	}
	if serves {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	files, err := a.sign(template)
	if err == nil {
		files[CA] = a.certPEM
	}
	return files, err
}

// sign makes a key and a certificate for it: the CA's own while there is none.
func (a *authority) sign(template *x509.Certificate) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// write puts a file in place as a whole, so that a process which reads it anew finds the old one or the new one. What is
// a secret is its owner's alone.
func write(path string, content []byte, owner int) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if bytes.Contains(content, []byte("BEGIN CERTIFICATE")) {
		mode = 0o644
	}
	next := path + ".new"
	os.Remove(next) // of one that was interrupted, and perhaps not ours to write into any more
	defer func() {
		if err != nil {
			os.Remove(next)
		}
	}()
	if err := os.WriteFile(next, content, mode); err != nil {
		return err
	}
	if owner >= 0 {
		if err := os.Chown(next, owner, -1); err != nil {
			return fmt.Errorf("owner: %d: %w: only root gives files away", owner, err)
		}
	}
	return os.Rename(next, path)
}

// Roles lists the roles' names, for people.
func Roles() string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r.Role)
	}
	return strings.Join(names, ", ")
}
