package fakegrid

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Network connects addresses in memory, so that a test may run in virtual time. Its methods may be called concurrently.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

// NewNetwork returns a network on which nobody listens.
func NewNetwork() *Network { return &Network{listeners: map[string]*bufconn.Listener{}} }

// Serve serves d or n, whichever is not nil, at an address until stop is called, which breaks all its connections at once.
func (w *Network) Serve(address string, d *Dispatcher, n *NameService) (stop func()) {
	lis := bufconn.Listen(1 << 20)
	w.mu.Lock()
	w.listeners[address] = lis
	w.mu.Unlock()
	end := Serve(lis, d, n)
	return sync.OnceFunc(func() {
		w.mu.Lock()
		if w.listeners[address] == lis {
			delete(w.listeners, address)
		}
		w.mu.Unlock()
		end()
	})
}

// Option makes a client dial on this network.
func (w *Network) Option() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		w.mu.Lock()
		lis := w.listeners[address]
		w.mu.Unlock()
		if lis == nil {
			return nil, fmt.Errorf("dial tcp %s: connect: connection refused", address)
		}
		return lis.DialContext(ctx)
	})
}

// Serve serves d or n, whichever is not nil, on any listener until stop is called.
func Serve(lis net.Listener, d *Dispatcher, n *NameService) (stop func()) {
	server, _ := rpc.NewServer()
	if d != nil {
		pb.RegisterDispatcherServer(server, d)
	}
	if n != nil {
		pb.RegisterNameServiceServer(server, n)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(lis) }) // its error says that it was stopped
	return func() {
		server.Stop()
		served.Wait()
	}
}

// Hang lets connections to an address be opened and never says a word on them, until stop is called.
func (w *Network) Hang(address string) (stop func()) {
	lis := bufconn.Listen(1 << 20)
	w.mu.Lock()
	w.listeners[address] = lis
	w.mu.Unlock()
	return func() { lis.Close() }
}
