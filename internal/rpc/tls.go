package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Role is what a process is in the grid. A certificate says it: that of a dispatcher bears the DNS name
// dispatcher.taskgrid. Addresses are not looked at: those of containers change, and a worker registers whichever it has.
type Role string

// The roles. Client may submit and read; Operator may also drain workers and change the dispatchers' membership.
const (
	NameService Role = "nameservice"
	Dispatcher  Role = "dispatcher"
	Worker      Role = "worker"
	Monitoring  Role = "monitoring"
	Client      Role = "client"
	Operator    Role = "operator"
)

// Name returns the DNS name by which a certificate says the role. A connection demands it of its server as the authority.
func (r Role) Name() string { return string(r) + ".taskgrid" }

// anyRole is the authority of a connection that takes whatever member of the grid answers.
const anyRole = "any.taskgrid"

// Files are those of --tls-cert, --tls-key and --tls-ca, in PEM. "": not given.
type Files struct{ Cert, Key, CA string }

// recheck is how often the files are looked at for a change, at most: no more than once for each burst of connections.
const recheck = time.Second

// TLS is a process's certificate and whom it trusts. Files that change are read again with the next connection; while
// what they hold is not right, what was there before stays in use. Its methods may be called concurrently.
type TLS struct {
	files Files
	log   *slog.Logger

	mu      sync.Mutex
	now     material
	stamps  [3]stamp
	checked time.Time
}

// material is what the files hold.
type material struct {
	own   []tls.Certificate // one, or none for a client that shows none
	roots *x509.CertPool    // nil: those of the machine
}

// stamp tells whether a file has changed.
type stamp struct {
	size int64
	time time.Time
}

// LoadTLS reads the files, or returns nil if none is given. The error names flag, file and rule: half a pair, a key of
// another certificate, one that has expired, one that the CA has not signed.
func LoadTLS(files Files, log *slog.Logger) (*TLS, error) {
	switch {
	case files == Files{}:
		return nil, nil
	case files.Cert != "" && files.Key == "":
		return nil, fmt.Errorf("tls-cert: %s: needs its key: give --tls-key as well", files.Cert)
	case files.Key != "" && files.Cert == "":
		return nil, fmt.Errorf("tls-key: %s: needs its certificate: give --tls-cert as well", files.Key)
	}
	t := &TLS{files: files, log: log, stamps: files.stamps(), checked: time.Now()}
	var err error
	t.now, err = files.load(t.checked)
	return t, err
}

// load reads and checks the files.
func (f Files) load(now time.Time) (m material, err error) {
	if f.CA != "" {
		if m.roots, err = loadRoots(f.CA); err != nil {
			return m, fmt.Errorf("tls-ca: %w", err)
		}
	}
	if f.Cert == "" {
		return m, nil
	}
	certPEM, err := os.ReadFile(f.Cert)
	if err != nil {
		return m, fmt.Errorf("tls-cert: %w", err)
	}
	keyPEM, err := os.ReadFile(f.Key)
	if err != nil {
		return m, fmt.Errorf("tls-key: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return m, fmt.Errorf("tls-cert: %s: must be a certificate in PEM, and --tls-key %s its key: %w", f.Cert, f.Key, err)
	}
	m.own = []tls.Certificate{pair}
	switch leaf := pair.Leaf; {
	case now.After(leaf.NotAfter):
		return m, fmt.Errorf("tls-cert: %s: expired on %s", f.Cert, leaf.NotAfter.Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return m, fmt.Errorf("tls-cert: %s: is not valid before %s", f.Cert, leaf.NotBefore.Format(time.DateTime))
	}
	if m.roots != nil {
		if err := m.verify(pair.Leaf, pair.Certificate[1:], now, x509.ExtKeyUsageAny); err != nil {
			return m, fmt.Errorf("tls-cert: %s: is not signed by --tls-ca %s: %w", f.Cert, f.CA, err)
		}
	}
	return m, nil
}

func loadRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: has no certificate in PEM", path)
	}
	return roots, nil
}

// verify returns an error unless the certificate leads to a root.
func (m *material) verify(leaf *x509.Certificate, between [][]byte, now time.Time, usage x509.ExtKeyUsage) error {
	intermediates := x509.NewCertPool()
	for _, raw := range between {
		if c, err := x509.ParseCertificate(raw); err == nil {
			intermediates.AddCert(c)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: m.roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

// stamps looks at the files. One that is not there has the zero stamp.
func (f Files) stamps() (all [3]stamp) {
	for i, path := range []string{f.Cert, f.Key, f.CA} {
		if info, err := os.Stat(path); path != "" && err == nil {
			all[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return all
}

// current returns what the files hold, as of a second ago at most.
func (t *TLS) current() material {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.checked) < recheck {
		return t.now
	}
	t.checked = now
	stamps := t.files.stamps()
	if stamps == t.stamps {
		return t.now
	}
	t.stamps = stamps
	fresh, err := t.files.load(now)
	if err != nil {
		t.log.Warn("changed TLS files are not used: what they held before stays in use", "error", err)
		return t.now
	}
	t.log.Info("TLS files read again", "cert", t.files.Cert, "ca", t.files.CA)
	t.now = fresh
	return t.now
}

// Serves returns an error unless the certificate is one for a server in this role.
func (t *TLS) Serves(role Role) error {
	own := t.current().own
	if len(own) == 0 {
		return fmt.Errorf("tls-ca: %s: a process that serves needs --tls-cert and --tls-key as well", t.files.CA)
	}
	if leaf := own[0].Leaf; !slices.Contains(leaf.DNSNames, role.Name()) {
		return fmt.Errorf("tls-cert: %s: is for %q: this process needs one for %q", t.files.Cert, leaf.DNSNames, role.Name())
	}
	return nil
}

// Mutual reports whether callers must show a certificate: whether there is a CA to check it by.
func (t *TLS) Mutual() bool { return t.files.CA != "" }

// Server returns the configuration for the next connection that somebody opens to this process. With a CA it demands a
// certificate.
func (t *TLS) Server() *tls.Config {
	m := t.current()
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: m.own, ClientCAs: m.roots, SessionTicketsDisabled: true}
	if m.roots != nil {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg
}

// ServerFor is Server for callers in one role alone.
func (t *TLS) ServerFor(role Role) *tls.Config {
	cfg := t.Server()
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if !plays(s, role) {
			return fmt.Errorf("the caller's certificate is not for %s", role.Name())
		}
		return nil
	}
	return cfg
}

// Client returns the configuration for the next connection to a server in a role.
func (t *TLS) Client(role Role) *tls.Config { return t.client(role.Name()) }

func (t *TLS) client(name string) *tls.Config {
	m := t.current()
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: m.own, RootCAs: m.roots, ServerName: name}
	if name == anyRole {
		cfg.InsecureSkipVerify = true // the name is not looked at; the rest is verified here
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the server showed no certificate")
			}
			var between [][]byte
			for _, c := range s.PeerCertificates[1:] {
				between = append(between, c.Raw)
			}
			return m.verify(s.PeerCertificates[0], between, time.Now(), x509.ExtKeyUsageServerAuth)
		}
	}
	return cfg
}

// plays says whether the other side of a connection has shown a certificate for one of the roles.
func plays(s tls.ConnectionState, roles ...Role) bool {
	return len(s.VerifiedChains) > 0 && slices.ContainsFunc(roles, func(r Role) bool {
		return slices.Contains(s.PeerCertificates[0].DNSNames, r.Name())
	})
}

// transport makes connections by a TLS, each with what its files hold at that moment.
type transport struct{ tls *TLS }

// ClientHandshake implements credentials.TransportCredentials.
func (c transport) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.tls.client(authority)).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (c transport) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.tls.Server()).ServerHandshake(conn)
}

// Info implements credentials.TransportCredentials.
func (c transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c transport) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials. The name is the connection's authority.
func (c transport) OverrideServerName(string) error { return nil }
