package nameservice_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
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
	conn   *grpc.ClientConn
	client pb.NameServiceClient
	stop   func() // stops the service as SIGTERM does, and waits; done at the end of the test anyway
}

// newGrid starts a name service on a connection in memory, so that it runs in the virtual time of synctest. Options
// that are zero are those of the command.
func newGrid(t testing.TB, opts nameservice.Options) *grid {
	lis := bufconn.Listen(1 << 20)
	dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) })
	conn, err := rpc.Dial("passthrough:nameservice", "test", dialer)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return startGrid(t, opts, lis, conn)
}

func startGrid(t testing.TB, opts nameservice.Options, lis net.Listener, conn *grpc.ClientConn) *grid {
	if opts.Times == (nameservice.Times{}) {
		opts.Times = times
	}
	if opts.MaxWorkers == 0 {
		opts.MaxWorkers = 20_000
	}
	if opts.MaxWatchers == 0 {
		opts.MaxWatchers = 20_000
	}
	service := nameservice.NewServer(opts, slog.New(slog.NewTextHandler(io.Discard, nil)))
	server, _ := rpc.NewServer(nameservice.Codec())
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
	t.Cleanup(func() { conn.Close() })
	return &grid{server: service, conn: conn, client: pb.NewNameServiceClient(conn), stop: stop}
}

// registration returns a request that breaks no rule.
func registration(id string, types ...string) *pb.RegisterWorkerRequest {
	return &pb.RegisterWorkerRequest{WorkerId: id, Types: types, Address: "10.0.0.7:50060", Capacity: 4}
}
