package workers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
)

const (
	// resolveEvery is how often the names of name services are looked up again: a container that was replaced is found
	// under its new address after this time.
	resolveEvery = 3 * time.Second
)

// nameServices keeps one registration at each name service: at each address that the hosts of the list stand for.
type nameServices struct {
	hosts   []string // host:port
	resolve discovery.Lookup
	open    func(address string) (*registration, error)

	mu        sync.Mutex
	addresses []string                 // as resolved last
	active    map[string]*registration // by address
}

// run follows the list until ctx ends. Connections stay open until close.
func (n *nameServices) run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, stopAll := context.WithCancel(ctx)
	defer stopAll()
	stops := map[string]context.CancelFunc{}
	for {
		addresses := discovery.Resolve(ctx, n.hosts, n.resolve)
		for address, stop := range stops {
			if !slices.Contains(addresses, address) {
				stop()
				delete(stops, address)
			}
		}
		started, err := n.replace(addresses)
		if err != nil {
			return err
		}
		for _, r := range started {
			registered, stop := context.WithCancel(ctx)
			stops[r.address] = stop
			group.Go(func() { r.run(registered) })
		}
		if !sleep(ctx, resolveEvery) {
			return nil
		}
	}
}

// replace makes addresses the current ones: it drops the registrations at others and returns the new ones, not yet running.
func (n *nameServices) replace(addresses []string) (started []*registration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = addresses
	maps.DeleteFunc(n.active, func(address string, r *registration) bool {
		gone := !slices.Contains(addresses, address)
		if gone {
			r.conn.Close()
		}
		return gone
	})
	for _, address := range addresses {
		if n.active[address] != nil {
			continue
		}
		r, err := n.open(address)
		if err != nil {
			return started, fmt.Errorf("name service %s: %w", address, err)
		}
		n.active[address] = r
		started = append(started, r)
	}
	return started, nil
}

// current returns the addresses of the name services.
func (n *nameServices) current() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses
}

// drain marks the worker at all name services, and returns when each has answered, or has not in time.
func (n *nameServices) drain(ctx context.Context, workerID, leaseID string) {
	n.each(ctx, "drain", func(ctx context.Context, r *registration) error { return r.drain(ctx, workerID, leaseID) })
}

// leave ends the lease at all name services. Call it after run has returned, or it may be begun anew.
func (n *nameServices) leave(ctx context.Context, leaseID string) {
	n.each(ctx, "deregister", func(ctx context.Context, r *registration) error { return r.leave(ctx, leaseID) })
}

func (n *nameServices) each(ctx context.Context, what string, do func(context.Context, *registration) error) {
	n.mu.Lock()
	active := slices.Collect(maps.Values(n.active))
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var group sync.WaitGroup
	for _, r := range active {
		group.Go(func() {
			if err := do(ctx, r); status.Code(err) != codes.NotFound { // what it does not know it need not forget
				r.note(ctx, what, err)
			}
		})
	}
	group.Wait()
}

// close closes the connections. Call it after run has returned.
func (n *nameServices) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.active {
		r.conn.Close()
	}
	clear(n.active)
}
