package journal

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxInFlight is how many entries are with raft at a time: while one is written, the one before it is applied.
	maxInFlight = 2
	// aheadBytes must wait before an entry is sent while another is with raft. Most of what an entry costs is its
	// fsync, in processor time too; with this many bytes (some 500 small records) that is little for each of them, and
	// with fewer it pays to wait a moment for more.
	aheadBytes = 64 << 10
)

// enqueueTimeout is how long raft may be too busy to take an entry. Then something is wrong with it, or with its disk,
// and the session begins anew.
const enqueueTimeout = 10 * time.Second

// session is one leadership of this node, or a part of one: what its proposals have in common. See machine.
type session struct {
	id   uint64
	term uint64
	wake chan struct{} // there may be something to send; holds one

	lingering *time.Timer // calls endLinger

	// Guarded by Journal.mu.
	alone    bool     // no other node could lead after it
	format   byte     // of the entries to come
	waiting  []*batch // oldest first; the newest may still grow
	pending  int64    // bytes in them
	number   uint64   // of the next batch
	lastSize int      // of the batch taken last: the next will be like it
	inFlight int      // batches with raft
	hurry    bool     // somebody waits for what is waiting, or it has waited for long enough
	lingers  bool     // lingering is set
}

// flight is an entry that raft has.
type flight struct {
	*batch
	future raft.ApplyFuture
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
	opening, err := noticeEntry(kindOpening, j.openingNotice())
	if err != nil {
		j.fail(err)
		return
	}
	future := j.raft.Load().Apply(opening, enqueueTimeout)
	if err := future.Error(); err != nil {
		return
	}
	// The entry is applied, and with it everything committed before: this is a barrier.
	o, ok := future.Response().(opened)
	if !ok || ctx.Err() != nil {
		return
	}
	s := &session{id: o.session, term: o.term, format: byte(max(1, j.machine.known().Format)), wake: make(chan struct{}, 1),
		alone: j.alone()}
	s.lingering = time.AfterFunc(linger, func() { j.endLinger(s) })
	defer s.lingering.Stop()
	j.setSession(s)
	j.announce.push(Leadership{Leading: true, Term: s.term})

	ctx, stop := context.WithCancel(ctx)
	flights := make(chan flight, maxInFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(flights)
		j.send(ctx, s, flights)
	})
	wg.Go(func() { j.keepRoll(ctx, s) })
	wg.Go(func() { // whatever ends the session: first nobody proposes any more, and the user hears of it
		<-ctx.Done()
		j.setSession(nil)
		j.announce.push(Leadership{Leading: false, Term: s.term})
	})
	j.complete(s, flights, stop)
	stop()
	wg.Wait()
	for _, b := range s.waiting { // nobody else knows the session any more
		b.resolve(nil, ErrNotLeader)
	}
}

func (j *Journal) setSession(s *session) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.session = s
}

// expectCompany ends the lingering of the session that is open: another node may soon lead after this one.
func (j *Journal) expectCompany() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.session != nil {
		j.session.alone = false
	}
}

// send hands batches to raft until ctx ends.
func (j *Journal) send(ctx context.Context, s *session, flights chan<- flight) {
	r := j.raft.Load()
	for {
		b := j.take(s)
		if b == nil {
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
				runtime.Gosched() // whoever is about to propose does so first: the fuller an entry, the less a record costs
			}
			continue
		}
		j.metrics.batch(b)
		flights <- flight{b, r.ApplyLog(raft.Log{Data: b.entry}, enqueueTimeout)}
	}
}

// take returns the batch to send now, nil when it is better to wait.
func (j *Journal) take(s *session) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !s.ready() || j.session != s {
		return nil
	}
	b := s.waiting[0]
	s.waiting[0] = nil
	if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
		s.hurry = false
	}
	s.lastSize = len(b.entry)
	s.pending -= int64(len(b.entry) - entryHeaderSize)
	s.inFlight++
	return b
}

// ready reports whether it is time to send a batch. The journal's lock is held.
func (s *session) ready() bool {
	switch {
	case len(s.waiting) == 0, s.inFlight == maxInFlight:
		return false
	default:
		return s.inFlight == 0 && s.hurry || s.pending >= aheadBytes
	}
}

// endLinger sends what has waited for long enough. The timer is not set anew for each batch, which would cost more than
// it to run out in vain now and then.
func (j *Journal) endLinger(s *session) {
	j.mu.Lock()
	s.lingers = false
	if len(s.waiting) > 0 && !s.hurry {
		if left := linger - time.Since(s.waiting[0].began); left > 0 {
			s.lingers = true
			s.lingering.Reset(left)
		} else {
			s.hurry = true
		}
	}
	ready := s.ready()
	j.mu.Unlock()
	if ready {
		s.nudge()
	}
}

// complete waits for each flight and tells its calls. The first failure ends the session: what comes behind it would
// not count any more.
func (j *Journal) complete(s *session, flights <-chan flight, stop func()) {
	for f := range flights {
		results, err := f.wait()
		if err != nil {
			stop()
		} else {
			j.metrics.committed(f.batch)
		}
		j.mu.Lock()
		s.inFlight--
		ready := s.ready()
		j.mu.Unlock()
		if ready {
			s.nudge()
		}
		f.resolve(results, err)
	}
}

// nudge makes the sender look again.
func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it will anyway
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
