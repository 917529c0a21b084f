package rpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"taskgrid/internal/bubble"
)

// TestOneCallTooManyOnAConnectionWaitsForAnother has as many calls open on one connection as it may have. Calls on other
// connections go on.
func TestOneCallTooManyOnAConnectionWaitsForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bound, fewer := maxStreams, []grpc.ServerOption(nil)
		if !bubble.Full() { // make limits has the bound itself
			bound, fewer = 500, []grpc.ServerOption{grpc.MaxConcurrentStreams(500)}
		}
		server, health := NewServer(fewer...)
		lis := bufconn.Listen(1 << 20)
		served := make(chan error, 1)
		go func() { served <- server.Serve(lis) }()
		defer func() {
			health.Shutdown()
			server.Stop()
			<-served
		}()
		connect := func() healthpb.HealthClient {
			conn, err := Dial("passthrough:///server", "test", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return healthpb.NewHealthClient(conn)
		}
		api := connect()
		watch := func(ctx context.Context) error {
			stream, err := api.Watch(ctx, &healthpb.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}
		first, end := context.WithCancel(t.Context())
		defer end()
		for i := range bound {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			if err := watch(ctx); err != nil {
				t.Fatalf("call %d: %v", i+1, err)
			}
		}
		got := make(chan error, 1)
		go func() { got <- watch(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("call %d on one connection is answered (%v), want it to wait", bound+1, err)
		default:
		}
		if _, err := connect().Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("on another connection: %v", err)
		}
		end()
		if err := <-got; err != nil {
			t.Errorf("the call that waited, after another ended: %v", err)
		}
	})
}
