package simulation

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"taskgrid/nameservice"
)

// nameService is a name service: the registry, and who watches it. It has no memory that survives it.
type nameService struct {
	*process
	registry *nameservice.Registry
	watchers []*watcher
}

// watcher is a watch, seen from the name service.
type watcher struct {
	stream *stream
	knows  uint64
	tell   func(v nameservice.View, snapshot bool) // at the other end
}

var times = nameservice.Times{
	HeartbeatInterval: time.Second, UnhealthyAfter: 3 * time.Second, OfflineAfter: 10 * time.Second, ForgetAfter: 60 * time.Second,
}

func newNameService(w *world, i int) *nameService {
	n := &nameService{process: w.newProcess(fmt.Sprint("nameservice", i))}
	n.boot()
	return n
}

// boot starts it empty.
func (n *nameService) boot() {
	if n.alive {
		return
	}
	n.begin()
	n.registry = nameservice.NewRegistry(times, nameservice.Limits{Workers: 100, Bytes: 1 << 20, Services: 10, Departures: 4}, n.clock())
	n.watchers = nil
	n.say("%s: starts empty", n.name)
	n.later(n.upTo(time.Second), n.sweep)
}

func (n *nameService) crash() {
	if n.alive {
		n.say("%s: crashes", n.name)
		n.end()
	}
}

// sweep lets happen what silence brings about, without waiting for a call.
func (n *nameService) sweep() {
	n.registry.Advance(n.clock())
	n.publish()
	n.later(500*time.Millisecond, n.sweep)
}

// register enters a worker; nil: done.
func (n *nameService) register(a nameservice.Application) error {
	_, err := n.registry.Register(n.clock(), a)
	if err != nil {
		n.referee.fail("%s refuses %s: %v", n.name, a.Registration.ID, err)
	}
	n.publish()
	return err
}

// heartbeat returns whether the lease is known, and what the name service takes the worker to be.
func (n *nameService) heartbeat(lease, id string) (state nameservice.State, known bool) {
	state, err := n.registry.Heartbeat(n.clock(), lease, id, 0, 0)
	if err != nil && !errors.Is(err, nameservice.ErrUnknownLease) {
		n.referee.fail("%s: heartbeat of %s: %v", n.name, id, err)
	}
	n.publish()
	return state, err == nil
}

func (n *nameService) setDraining(id, lease string) {
	_ = n.registry.SetDraining(n.clock(), id, lease, true) // one it does not know needs no draining
	n.publish()
}

func (n *nameService) deregister(lease string) {
	n.registry.Deregister(n.clock(), lease)
	n.publish()
}

// watch begins with a snapshot and goes on with changes.
func (n *nameService) watch(s *stream, tell func(nameservice.View, bool)) {
	w := &watcher{stream: s, tell: tell}
	n.watchers = append(n.watchers, w)
	n.send(w, n.registry.Snapshot(n.clock(), ""), true)
}

func (n *nameService) unwatch(s *stream) {
	n.watchers = slices.DeleteFunc(n.watchers, func(w *watcher) bool { return w.stream == s })
}

// publish tells every watcher what is new to it.
func (n *nameService) publish() {
	for _, w := range n.watchers {
		for w.knows < n.registry.Version() {
			if view, ok := n.registry.Since(n.clock(), "", w.knows, 3); ok {
				n.send(w, view, false)
			} else {
				n.send(w, n.registry.Snapshot(n.clock(), ""), true)
			}
		}
	}
}

func (n *nameService) send(w *watcher, v nameservice.View, snapshot bool) {
	w.knows = v.Version
	w.stream.send(n.process, func() { w.tell(v, snapshot) })
}
