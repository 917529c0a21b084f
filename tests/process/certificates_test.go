//go:build unix

package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/certs"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

func TestACertificateDoesWhatItsRoleMay(t *testing.T) {
	t.Parallel()
	s := newSecureGrid(t)
	dial := func(role, to rpc.Role, where string) *grpc.ClientConn {
		conn, err := rpc.Dial("passthrough:///"+s.addresses[where], "test", s.certs.TLS(role).Dial(), rpc.To(to))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for _, c := range []struct {
		what     string
		role, to rpc.Role
		where    string
		call     func(context.Context, *grpc.ClientConn) error
		want     codes.Code
	}{
		{"a client opens a worker's stream", rpc.Client, rpc.Worker, "worker", openProcess, codes.PermissionDenied},
		{"a worker opens a worker's stream", rpc.Worker, rpc.Worker, "worker", openProcess, codes.PermissionDenied},
		{"a client announces a dispatcher", rpc.Client, rpc.NameService, "name service", announce, codes.PermissionDenied},
		{"a worker announces a dispatcher, without token", rpc.Worker, rpc.NameService, "name service", announce, codes.PermissionDenied},
		{"a dispatcher announces itself without the token", rpc.Dispatcher, rpc.NameService, "name service", announce, codes.Unauthenticated},
		{"a client registers", rpc.Client, rpc.NameService, "name service", register, codes.PermissionDenied},
		{"a worker registers without the token", rpc.Worker, rpc.NameService, "name service", register, codes.Unauthenticated},
		{"a client takes a worker for a dispatcher", rpc.Client, rpc.Dispatcher, "worker", openProcess, codes.Unavailable},
		{"a client takes a dispatcher out of the cluster", rpc.Client, rpc.Dispatcher, "dispatcher", remove, codes.PermissionDenied},
		{"a worker takes a dispatcher out of the cluster", rpc.Worker, rpc.Dispatcher, "dispatcher", remove, codes.PermissionDenied},
		{"an operator does so without the token", rpc.Operator, rpc.Dispatcher, "dispatcher", remove, codes.Unauthenticated},
		{"a client takes all tasks along as a backup", rpc.Client, rpc.Dispatcher, "dispatcher", backup, codes.PermissionDenied},
		{"a client reads statistics", rpc.Client, rpc.Monitoring, "monitoring", func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := pb.NewMonitoringClient(c).GetStats(ctx, &pb.GetStatsRequest{})
			return err
		}, codes.OK},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := c.call(ctx, dial(c.role, c.to, c.where)); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		cancel()
	}
	s.works("done after all that")
	_, stderr, code := s.Verb(append([]string{"drain", "hash-1"}, s.certs.Flags(rpc.Client)...)...)
	if code != 1 || !strings.Contains(stderr, "operator.taskgrid") {
		t.Errorf("drain with a client's certificate: exit code %d, %q, want 1 and what it wants", code, stderr)
	}
	if out, stderr, code := s.Verb(append([]string{"submit", "hash", "x", "--wait"}, s.certs.Flags(rpc.Client)...)...); code != 0 {
		t.Errorf("submit with a client's certificate: exit code %d, %q %q, want 0", code, out, stderr)
	}
	if _, stderr, code := s.Verb("submit", "hash", "x"); code != 3 {
		t.Errorf("submit without certificate: exit code %d, %q, want 3", code, stderr)
	}
	for where, address := range s.addresses {
		if _, stderr, code := s.Run(append([]string{"health", address, "--timeout", "20s"}, s.certs.Flags(rpc.Worker)...)...); where != "dispatcher" && code != 0 {
			t.Errorf("health of the %s: exit code %d, %q, want 0", where, code, stderr)
		}
		if _, _, code := s.Run("health", address); code != 1 {
			t.Errorf("health of the %s in plaintext: exit code %d, want 1", where, code)
		}
	}
	if _, stderr, code := s.Verb(append([]string{"drain", "hash-1"}, s.certs.TokenFlags(rpc.Operator)...)...); code != 0 {
		t.Errorf("drain with an operator's certificate and the token: exit code %d, %q, want 0", code, stderr)
	}
}

func remove(ctx context.Context, c *grpc.ClientConn) error {
	_, err := pb.NewRaftServiceClient(c).RemoveMember(ctx, &pb.RemoveMemberRequest{Id: "d2"})
	return err
}

func backup(ctx context.Context, c *grpc.ClientConn) error {
	stream, err := pb.NewRaftServiceClient(c).Backup(ctx, &pb.BackupRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

func announce(ctx context.Context, c *grpc.ClientConn) error {
	_, err := pb.NewNameServiceClient(c).AnnounceService(ctx, &pb.AnnounceServiceRequest{Service: "dispatcher", InstanceId: "d9", Address: "127.0.0.1:1", Term: 1 << 40})
	return err
}

func register(ctx context.Context, c *grpc.ClientConn) error {
	_, err := pb.NewNameServiceClient(c).RegisterWorker(ctx, &pb.RegisterWorkerRequest{WorkerId: "w", Types: []string{"hash"}, Address: "127.0.0.1:1", Capacity: 1})
	return err
}

func TestADispatcherJoinsWithTheTokenAlone(t *testing.T) {
	t.Parallel()
	s := newSecureGrid(t)
	without := s.cluster.Join("d4", s.certs.Flags(rpc.Dispatcher)...)
	says(s.Grid, without.Process, "join token: missing")
	members := func() string {
		out, stderr, code := s.Verb(append([]string{"raft", "list"}, s.certs.Flags(rpc.Client)...)...)
		if code != 0 {
			t.Fatalf("raft list with a client's certificate: exit code %d, %q", code, stderr)
		}
		return out
	}
	s.Eventually("all members answer", func(context.Context) error {
		if out := members(); strings.Contains(out, "unreachable") {
			return errors.New(out)
		}
		return nil
	})
	if out := members(); strings.Contains(out, "d4") {
		t.Errorf("the cluster, with d4 that has no token:\n%s", out)
	}
	s.cluster.Join("d5", s.certs.TokenFlags(rpc.Dispatcher)...)
	s.Eventually("d5 is a member", func(context.Context) error {
		if out := members(); !strings.Contains(out, "d5") {
			return errors.New(out)
		}
		return nil
	})
	s.works("done by five")
}

func TestRenewedCertificatesAreTakenUpWhileTheGridRuns(t *testing.T) {
	t.Parallel()
	s := newSecureGrid(t)
	if err := os.Remove(s.certs.File(rpc.Worker, certs.Cert)); err != nil {
		t.Fatal(err)
	}
	if out, stderr, code := s.Run("certs", s.certs.Dir, "--renew", "--valid", "2h", "--owner", "-1"); code != 0 || !strings.Contains(out, "made worker\n") {
		t.Fatalf("certs --renew: exit code %d, %q %q, want the worker's alone", code, out, stderr)
	}
	want := s.certs.TLS(rpc.Worker).Server().Certificates[0].Leaf.SerialNumber
	s.Eventually("the worker shows its new certificate", func(context.Context) error {
		conn, err := tls.Dial("tcp", s.workerAt, s.certs.TLS(rpc.Dispatcher).Client(rpc.Worker))
		if err != nil {
			return err
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(want) != 0 {
			return fmt.Errorf("it shows %v", got)
		}
		return nil
	})
	s.works("done with the new certificate")
}

func TestHalfATLSConfigurationIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	g, c, foreign := grid.New(t), grid.NewCerts(t), grid.NewCerts(t)
	old := grid.NewCerts(t)
	cert, key, ca := c.File(rpc.Dispatcher, certs.Cert), c.File(rpc.Dispatcher, certs.Key), c.File(rpc.Dispatcher, certs.CA)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--tls-cert", cert}, "tls-cert: " + cert + ": needs its key"},
		{[]string{"--tls-key", key}, "tls-key: " + key + ": needs its certificate"},
		{[]string{"--tls-ca", ca}, "needs --tls-cert and --tls-key"},
		{[]string{"--tls-cert", cert, "--tls-key", foreign.File(rpc.Dispatcher, certs.Key)}, "private key does not match"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", foreign.File(rpc.Dispatcher, certs.CA)}, "tls-cert: " + cert + ": is not signed by --tls-ca"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", key}, "tls-ca: " + key + ": has no certificate in PEM"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", ca + "-away"}, "tls-ca: open " + ca + "-away: no such file"},
		{[]string{"--tls-cert", cert + "-away", "--tls-key", key}, "no such file"},
		{c.Flags(rpc.Worker), `this process needs one for "dispatcher.taskgrid"`},
		{old.Flags(rpc.Dispatcher), "expired on"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--raft-address", "127.0.0.1:50062"}, "tls-ca: \"\": is required"},
	} {
		if strings.Contains(tt.want, "expired") {
			expire(t, old)
		}
		_, stderr, code := g.Run(append([]string{"dispatcher", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, tt.args...)...)
		if code != 2 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, %q, want 2 and %q", tt.args, code, stderr, tt.want)
		}
	}
	if _, stderr, code := g.Run("certs", c.Dir); code != 1 || !strings.Contains(stderr, "nothing is overwritten") {
		t.Errorf("certs into a folder that is in use: exit code %d, %q", code, stderr)
	}
}

// expire replaces a folder by one whose certificates have expired.
func expire(t *testing.T, c grid.Certs) {
	t.Helper()
	if err := os.RemoveAll(c.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := certs.Make(c.Dir, time.Now().Add(-48*time.Hour), certs.Options{Valid: time.Hour, Owner: -1}); err != nil {
		t.Fatal(err)
	}
}
