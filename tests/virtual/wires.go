package virtual

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// wireTimeout is how long a message of raft may be under way; the journal's own transport gives up after as long.
const wireTimeout = 5 * time.Second

// Errors of a wire.
var (
	errLost      = errors.New("the message or its answer was lost")
	errUnplugged = errors.New("connection refused")
)

// Wires carry the messages of raft between replicas, in memory. Each direction between two of them can be cut: what is
// sent then gets lost, and its sender hears nothing until its time is over or the wire is mended. Answers can be late.
// The methods may be called concurrently.
type Wires struct {
	mu      sync.Mutex
	ends    map[raft.ServerAddress]*wireEnd
	cut     map[[2]raft.ServerAddress]bool // from, to
	changed chan struct{}                  // closed at the next change of cut and ends
	late    map[raft.ServerAddress]func() time.Duration
}

// NewWires returns wires without ends.
func NewWires() *Wires {
	return &Wires{ends: map[raft.ServerAddress]*wireEnd{}, cut: map[[2]raft.ServerAddress]bool{},
		changed: make(chan struct{}), late: map[raft.ServerAddress]func() time.Duration{}}
}

// Plug returns the transport of a replica, named by its address. It takes the place of one that was unplugged.
func (w *Wires) Plug(name string) raft.Transport {
	_, carrier := raft.NewInmemTransport(raft.ServerAddress(name))
	end := &wireEnd{InmemTransport: carrier, wires: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	for address, other := range w.ends {
		end.Connect(address, other.InmemTransport)
		other.Connect(carrier.LocalAddr(), carrier)
	}
	w.ends[carrier.LocalAddr()] = end
	w.tell()
	return end
}

// Unplug takes a replica off the wires: nothing it sends arrives, and whoever sends to it hears so at once.
func (w *Wires) Unplug(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if end := w.ends[raft.ServerAddress(name)]; end != nil {
		end.gone = true
	}
	delete(w.ends, raft.ServerAddress(name))
	w.tell()
}

// Cut cuts the direction from one replica to another.
func (w *Wires) Cut(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]raft.ServerAddress{raft.ServerAddress(from), raft.ServerAddress(to)}] = true
	w.tell()
}

// Late makes a replica take notice of the answers to its messages late, by what by returns: they have arrived, but it is
// busy with something else.
func (w *Wires) Late(to string, by func() time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late[raft.ServerAddress(to)] = by
}

// Mend mends all that is cut, and lets all answers be in time.
func (w *Wires) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
	clear(w.late)
	w.tell()
}

// tell wakes whoever waits for a wire. It is called under the lock.
func (w *Wires) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// wireEnd is the transport of one replica.
type wireEnd struct {
	*raft.InmemTransport
	wires *Wires
	gone  bool // guarded by wires.mu
}

// carry takes a message there and its answer back.
func (e *wireEnd) carry(to raft.ServerAddress, send func() error) error {
	if err := e.pass(e.LocalAddr(), to, to); err != nil {
		return err
	}
	if err := send(); err != nil {
		return err
	}
	if err := e.pass(to, e.LocalAddr(), to); err != nil {
		return err
	}
	e.wires.mu.Lock()
	late := e.wires.late[e.LocalAddr()]
	e.wires.mu.Unlock()
	if late != nil {
		time.Sleep(late())
	}
	return nil
}

// pass returns nil if the wire between two replicas is whole. If it is not, whoever sent the message waits, and then
// hears that it was lost.
func (e *wireEnd) pass(from, to, peer raft.ServerAddress) error {
	w, cut := e.wires, false
	timeout := time.NewTimer(wireTimeout)
	defer timeout.Stop()
	for {
		w.mu.Lock()
		unplugged, whole, changed := e.gone || w.ends[peer] == nil, !w.cut[[2]raft.ServerAddress{from, to}], w.changed
		w.mu.Unlock()
		switch {
		case unplugged:
			return errUnplugged
		case whole && cut:
			return errLost
		case whole:
			return nil
		}
		cut = true
		select {
		case <-changed:
		case <-timeout.C:
			return errLost
		}
	}
}

// AppendEntriesPipeline implements raft.Transport: there is none, raft sends one message after the other.
func (e *wireEnd) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (e *wireEnd) AppendEntries(id raft.ServerID, to raft.ServerAddress, q *raft.AppendEntriesRequest, a *raft.AppendEntriesResponse) error {
	return e.carry(to, func() error { return e.InmemTransport.AppendEntries(id, to, q, a) })
}

// RequestVote implements raft.Transport.
func (e *wireEnd) RequestVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestVoteRequest, a *raft.RequestVoteResponse) error {
	return e.carry(to, func() error { return e.InmemTransport.RequestVote(id, to, q, a) })
}

// RequestPreVote implements raft.WithPreVote.
func (e *wireEnd) RequestPreVote(id raft.ServerID, to raft.ServerAddress, q *raft.RequestPreVoteRequest, a *raft.RequestPreVoteResponse) error {
	return e.carry(to, func() error { return e.InmemTransport.RequestPreVote(id, to, q, a) })
}

// InstallSnapshot implements raft.Transport.
func (e *wireEnd) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, q *raft.InstallSnapshotRequest, a *raft.InstallSnapshotResponse, data io.Reader) error {
	return e.carry(to, func() error { return e.InmemTransport.InstallSnapshot(id, to, q, a, data) })
}

// TimeoutNow implements raft.Transport.
func (e *wireEnd) TimeoutNow(id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return e.carry(to, func() error { return e.InmemTransport.TimeoutNow(id, to, q, a) })
}
