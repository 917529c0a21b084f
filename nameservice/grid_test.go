package nameservice_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"taskgrid/internal/rpc"
	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// times are the defaults of the command.
var times = nameservice.Times{
	HeartbeatInterval: time.Second,
	UnhealthyAfter:    3 * time.Second,
	OfflineAfter:      10 * time.Second,
	ForgetAfter:       60 * time.Second,
}

// grid is a name service and a connection to it.
type grid struct {
	server *nameservice.Server
	client pb.NameServiceClient
	conn   *grpc.ClientConn
	target string
	dialer []grpc.DialOption
	log    *logBook
	stop   func() // stops the service as SIGTERM does, and waits; done at the end of the test anyway
}

// logBook keeps what is logged.
type logBook struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

// newGrid starts a name service on connections in memory, so that it runs in the virtual time of synctest. Options
// that are zero are those of the command.
func newGrid(t testing.TB, opts nameservice.Options, extra ...grpc.ServerOption) *grid {
	lis := bufconn.Listen(1 << 20)
	return startGrid(t, opts, lis, &grid{
		target: "passthrough:nameservice",
		dialer: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return lis.DialContext(ctx)
		})},
	}, extra...)
}

// startGrid starts a name service on the listener and completes g, which knows how to dial it.
func startGrid(t testing.TB, opts nameservice.Options, lis net.Listener, g *grid, extra ...grpc.ServerOption) *grid {
	var log logBook
	if opts.Times == (nameservice.Times{}) {
		opts.Times = times
	}
	if opts.MaxWorkers == 0 {
		opts.MaxWorkers = 20_000
	}
	if opts.MaxWatchers == 0 {
		opts.MaxWatchers = 20_000
	}
	service := nameservice.NewServer(opts, slog.New(slog.NewTextHandler(&log, nil)))
	server, _ := rpc.NewServer(append([]grpc.ServerOption{nameservice.Codec()}, extra...)...)
	pb.RegisterNameServiceServer(server, service)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- service.Run(ctx) }()
	go func() { ended <- server.Serve(lis) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		server.GracefulStop()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Errorf("the name service ended with %v", err)
			}
		}
	}
	t.Cleanup(stop)
	g.server, g.log, g.stop = service, &log, stop
	g.conn = g.connect(t)
	g.client = pb.NewNameServiceClient(g.conn)
	return g
}

// connect returns a connection of its own, which ends with the test.
func (g *grid) connect(t testing.TB, extra ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(g.target, "test", append(extra, g.dialer...)...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// registration returns a request that breaks no rule.
func registration(id string, types ...string) *pb.RegisterWorkerRequest {
	return &pb.RegisterWorkerRequest{WorkerId: id, Types: types, Address: "10.0.0.7:50060", Capacity: 4}
}

// register enters a worker and returns its lease.
func (g *grid) register(t testing.TB, id string, types ...string) (lease string) {
	t.Helper()
	res, err := g.client.RegisterWorker(t.Context(), registration(id, types...))
	if err != nil {
		t.Fatalf("register %s: %v", id, err)
	}
	return res.LeaseId
}

func (g *grid) heartbeat(t testing.TB, id, lease string) pb.WorkerState {
	t.Helper()
	res, err := g.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{WorkerId: id, LeaseId: lease})
	if err != nil {
		t.Fatalf("heartbeat of %s: %v", id, err)
	}
	return res.State
}

func (g *grid) deregister(t testing.TB, lease string) {
	t.Helper()
	if _, err := g.client.DeregisterWorker(t.Context(), &pb.DeregisterWorkerRequest{LeaseId: lease}); err != nil {
		t.Fatalf("deregister: %v", err)
	}
}

// lookup returns the state of every worker of a type, by id.
func (g *grid) lookup(t testing.TB, taskType string) map[string]pb.WorkerState {
	t.Helper()
	res, err := g.client.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{Type: taskType, AllStates: true})
	if err != nil {
		t.Fatalf("lookup of %q: %v", taskType, err)
	}
	found := map[string]pb.WorkerState{}
	for _, w := range res.Workers {
		found[w.WorkerId] = w.State
	}
	return found
}

// expectCode fails the test unless err bears the code.
func expectCode(t testing.TB, what string, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("%s: got %v, want code %v", what, err, want)
	}
}
