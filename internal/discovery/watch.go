package discovery

import (
	"context"
	"net"
	"sync"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// watch follows what each name service says of a service, so that a change is heard of at once, and from the first that
// knows it, whatever the others do: one of them may have gone with the very machine whose leader has to be replaced.
type watch struct {
	names   *NameServices
	service string
	heard   func(Instance) // is told of the highest term in each message; may block
	group   sync.WaitGroup

	mu       sync.Mutex
	standing int // how many name services are followed at the moment
}

// stands says whether one name service at least is followed. If none is, only asking again helps.
func (w *watch) stands() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.standing > 0
}

func (w *watch) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.standing += n
}

// run follows all name services that the list stands for until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer w.group.Wait()
	followed := map[string]context.CancelFunc{}
	defer func() {
		for _, stop := range followed {
			stop()
		}
	}()
	ticker := time.NewTicker(calmInterval)
	defer ticker.Stop()
	for {
		listed := map[string]bool{}
		for _, address := range Resolve(ctx, w.names.list, net.DefaultResolver.LookupHost) {
			listed[address] = true
			if followed[address] == nil {
				one, stop := context.WithCancel(ctx)
				followed[address] = stop
				w.group.Go(func() { w.keepFollowing(one, address) })
			}
		}
		for address, stop := range followed {
			if !listed[address] {
				stop()
				delete(followed, address)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// keepFollowing follows one name service, and tries again each second while that fails.
func (w *watch) keepFollowing(ctx context.Context, address string) {
	for {
		w.follow(ctx, address)
		select {
		case <-ctx.Done():
			return
		case <-time.After(eagerInterval):
		}
	}
}

// follow follows one name service until that fails. Why it does is nobody's business: lookups tell of it.
func (w *watch) follow(ctx context.Context, address string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := w.names.conn(address)
	if err != nil {
		return
	}
	stream, err := pb.NewNameServiceClient(conn).WatchService(ctx, &pb.WatchServiceRequest{Service: w.service})
	if err != nil {
		return
	}
	for n := 0; ; n++ {
		resp, err := stream.Recv()
		if err != nil {
			if n > 0 {
				w.count(-1)
			}
			return
		}
		if n == 0 {
			w.count(1)
		}
		if found := instances(resp.Instances); len(found) > 0 {
			w.heard(newest(found))
		}
	}
}
