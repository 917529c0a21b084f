//go:build unix

package grid

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"taskgrid/internal/certs"
	"taskgrid/internal/rpc"
)

// Certs is a folder made by `taskgrid certs`, for tests of a grid with TLS.
type Certs struct {
	t   testing.TB
	Dir string
}

// NewCerts makes a CA and certificates.
func NewCerts(t testing.TB) Certs {
	t.Helper()
	c := Certs{t: t, Dir: filepath.Join(t.TempDir(), "certs")}
	if _, err := certs.Make(c.Dir, time.Now(), certs.Options{Valid: time.Hour, Owner: -1}); err != nil {
		t.Fatal(err)
	}
	return c
}

// File returns the path of a file in the folder of a role.
func (c Certs) File(role rpc.Role, name string) string {
	return filepath.Join(c.Dir, string(role), name)
}

// Flags returns the flags of a process in a role, more added.
func (c Certs) Flags(role rpc.Role, more ...string) []string {
	return append([]string{"--tls-cert", c.File(role, certs.Cert), "--tls-key", c.File(role, certs.Key), "--tls-ca", c.File(role, certs.CA)}, more...)
}

// TokenFlags returns Flags and the join token of a role that has it.
func (c Certs) TokenFlags(role rpc.Role, more ...string) []string {
	return append(c.Flags(role, "--join-token-file", c.File(role, certs.Token)), more...)
}

// TLS returns what a process in a role knows itself and others by.
func (c Certs) TLS(role rpc.Role) *rpc.TLS {
	c.t.Helper()
	loaded, err := rpc.LoadTLS(rpc.Files{Cert: c.File(role, certs.Cert), Key: c.File(role, certs.Key), CA: c.File(role, certs.CA)}, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	return loaded
}

// Secure lets the grid's clients show a certificate, that of an operator.
func (g *Grid) Secure(c Certs) { g.dial = []grpc.DialOption{c.TLS(rpc.Operator).Dial()} }
