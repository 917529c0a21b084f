package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// maxInFlight is how many entries are with raft at a time: one that is being written, and one that is ready when it
// is done. More would only make the entries smaller.
const maxInFlight = 2

// enqueueTimeout is how long raft may be too busy to take an entry. Then something is wrong with it, or with its disk,
// and the session begins anew.
const enqueueTimeout = 10 * time.Second

// session is one leadership of this node, or a part of one: what its proposals have in common. See machine.
type session struct {
	id   uint64
	term uint64
	wake chan struct{} // something waits; holds one

	// Guarded by Journal.mu.
	waiting  []*batch // oldest first; the newest may still grow
	pending  int64    // bytes in them
	number   uint64   // of the next batch
	lastSize int      // of the batch taken last: the next will be like it
}

// flight is an entry that raft has.
type flight struct {
	*batch
	future raft.ApplyFuture
	sent   time.Time
}

// lead opens a session whenever raft says that this node leads, and ends it when raft says that it does not.
func (j *Journal) lead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case gained := <-j.changes:
			if !gained {
				continue
			}
		}
		leading, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { j.keepSession(leading) })
		select {
		case <-ctx.Done():
		case <-j.changes: // gains and losses take turns: this is the loss
		}
		stop()
		wg.Wait()
	}
}

// keepSession keeps a session open until ctx ends. One that broke while this node still leads, because raft refused an
// entry (it does during a transfer of leadership), is followed by another.
func (j *Journal) keepSession(ctx context.Context) {
	for ctx.Err() == nil {
		j.runSession(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(j.cfg.HeartbeatTimeout / 2):
		}
	}
}

// runSession opens a session, carries its proposals to raft until ctx ends or one of them fails, and ends it.
func (j *Journal) runSession(ctx context.Context) {
	future := j.raft.Load().Apply(newEntry(entryHeader{kind: kindOpening}, 0), enqueueTimeout)
	if err := future.Error(); err != nil {
		return
	}
	// The entry is applied, and with it everything committed before: this is a barrier.
	o, ok := future.Response().(opened)
	if !ok || ctx.Err() != nil {
		return
	}
	s := &session{id: o.session, term: o.term, wake: make(chan struct{}, 1)}
	j.setSession(s)
	j.announce.push(Leadership{Leading: true, Term: s.term})

	ctx, stop := context.WithCancel(ctx)
	flights := make(chan flight, maxInFlight)
	slots := make(chan struct{}, maxInFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(flights)
		j.send(ctx, s, slots, flights)
	})
	wg.Go(func() { // whatever ends the session: first nobody proposes any more, and the user hears of it
		<-ctx.Done()
		j.setSession(nil)
		j.announce.push(Leadership{Leading: false, Term: s.term})
	})
	j.complete(flights, slots, stop)
	stop()
	wg.Wait()
	for b := j.take(s); b != nil; b = j.take(s) {
		b.resolve(nil, ErrNotLeader)
	}
}

func (j *Journal) setSession(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.session = s
}

// send hands batches to raft until ctx ends, at most maxInFlight at a time. It takes a batch only when raft can take
// it soon, so that batches grow while raft is busy.
func (j *Journal) send(ctx context.Context, s *session, slots chan<- struct{}, flights chan<- flight) {
	r := j.raft.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		b := j.take(s)
		for b == nil {
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
				b = j.take(s)
			}
		}
		j.metrics.batch(b)
		sent := time.Now()
		flights <- flight{b, r.ApplyLog(raft.Log{Data: b.entry}, enqueueTimeout), sent}
	}
}

// complete waits for each flight and tells its calls. The first failure ends the session: what comes behind it would
// not count any more.
func (j *Journal) complete(flights <-chan flight, slots <-chan struct{}, stop func()) {
	for f := range flights {
		results, err := f.wait()
		if err != nil {
			stop()
		} else {
			j.metrics.committed(f.batch)
		}
		<-slots
		f.resolve(results, err)
	}
}

// wait returns what became of the flight.
func (f flight) wait() ([]any, error) {
	switch err := f.future.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, ErrNotLeader // raft says so before it does anything with an entry
	default:
		return nil, ErrUnknown
	}
	switch o := f.future.Response().(type) {
	case outcome:
		if o.void {
			return nil, ErrNotLeader
		}
		return o.results, nil
	default: // an error: the machine is broken, and the journal is about to stop
		return nil, ErrUnknown
	}
}
