package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"taskgrid/internal/process"
)

const (
	// progressEvery is the least time between two reports of one attempt that go on their way.
	progressEvery = 100 * time.Millisecond

	// overdueGrace is how long after its deadline a handler may take to notice, before the log names it.
	overdueGrace = time.Second
)

// engine runs attempts. It owns the slots, and hands what happens in them to the session, which is the Process stream
// that is current. Attempts outlive sessions: what happens while there is none is found in the slots by the next one.
//
// capacity goroutines execute handlers one after the other; nothing else is started for an attempt.
type engine struct {
	handlers  map[string]Handler
	maxResult int // bytes
	log       *slog.Logger
	taskLog   process.LineBudget // for the lines about single tasks
	metrics   *metrics

	mu      sync.Mutex
	work    sync.Cond // an attempt waits, or the engine is closed
	slots   *Slots
	session *session      // nil: no dispatcher is connected
	leader  leader        // of the newest session
	closed  bool          // executors are to end
	drained chan struct{} // not nil while draining; closed when all is finished and told
}

func newEngine(cfg Config, m *metrics) *engine {
	e := &engine{
		handlers:  cfg.Handlers,
		maxResult: cfg.MaxResult,
		log:       cfg.Log,
		metrics:   m,
		slots: NewSlots(Limits{
			Capacity:     cfg.Capacity,
			Window:       cfg.Window,
			Outcomes:     maxOutcomes,
			OutcomeBytes: maxOutcomeBytes,
		}),
	}
	e.work.L = &e.mu
	return e
}

// attach begins a session, which becomes the current one, and tells what is held at this moment. The session before it
// ends: of what happens from now on, each thing is told to exactly one of them. A leader that another has replaced, and
// who does not know it yet, is refused.
func (e *engine) attach(who leader) (*session, greeting, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if who.deposed(e.leader) {
		return nil, greeting{}, errDeposed
	}
	e.leader = who
	if e.session != nil {
		e.session.end(errTakenOver)
	}
	e.session = newSession(&e.mu)
	if e.closed {
		e.session.end(errEnding)
	}
	return e.session, e.session.greet(e.slots.Held(), e.slots.Unacknowledged()), nil
}

// detach leaves the worker without a session, if s is still the current one.
func (e *engine) detach(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.end(nil)
	if e.session == s {
		e.session = nil
		e.settle()
	}
}

// halfClose notes that the dispatcher of a session has said all it had to say. The session ends when all is answered.
func (e *engine) halfClose(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.halfClosed = true
	s.poke()
}

// collect takes what waits to be sent on a session. What it took the time before has been sent by then.
func (e *engine) collect(s *session) batch {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := s.take()
	if b.empty() {
		e.settle()
		if s.halfClosed && e.slots.Load().Held() == 0 {
			s.end(nil)
		}
	}
	return b
}

// receive does what one message of a session's dispatcher asks for, once there is room for the answers. It returns false
// when the session is not the current one, in which case it did nothing: the next session's Hello has named what counts.
func (e *engine) receive(s *session, offers []*Attempt, cancels, acks []Key) bool {
	e.mu.Lock()
	for s.size() > maxPending && !s.over {
		s.room.Wait()
	}
	if e.session != s || s.over {
		e.mu.Unlock()
		return false
	}
	for _, k := range acks {
		e.slots.Acknowledge(k)
	}
	var stops []func()
	for _, k := range cancels {
		a, runs := e.slots.Cancel(k)
		switch {
		case a != nil && runs:
			stops = append(stops, a.Stop)
		case a != nil:
			e.refuse(a, "cancelled before it started")
		}
	}
	for _, a := range offers {
		e.offer(a)
	}
	e.settle()
	e.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	return true
}

// offer takes one assignment in or refuses it. The caller holds mu.
func (e *engine) offer(a *Attempt) {
	if e.handlers[a.Type] == nil {
		e.refuse(a, "this worker has no handler for the type "+a.Type)
		return
	}
	switch e.slots.Offer(a) {
	case Accepted:
		e.work.Signal()
	case Repeated:
		e.metrics.repeated.Inc()
	case NoSlot:
		e.refuse(a, "no free slot")
	case Draining:
		e.refuse(a, "the worker drains")
	}
}

// refuse hands an attempt back. The caller holds mu.
func (e *engine) refuse(a *Attempt, reason string) {
	e.metrics.refused.Inc()
	if e.session != nil {
		e.session.refused = append(e.session.refused, refusal{a.Key, reason, e.drained != nil})
		e.session.poke()
	}
	if e.mayLog(time.Now(), slog.LevelInfo) {
		e.logTask(slog.LevelInfo, "attempt handed back", a, slog.String("reason", reason))
	}
}

// execute runs attempts, one after the other, until the engine is closed.
func (e *engine) execute() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for now := time.Now(); ; {
		a, ctx := e.next(now)
		if a == nil {
			return
		}
		e.mu.Unlock()
		var outcome Outcome
		outcome, now = e.run(ctx, a)
		ctx.stop()
		e.mu.Lock()
		e.finish(outcome)
	}
}

// next waits for an attempt and begins it; nil: the engine is closed. The caller holds mu.
func (e *engine) next(now time.Time) (*Attempt, *attemptContext) {
	for !e.closed {
		a, late := e.slots.Next(now)
		for _, l := range late {
			e.refuse(l, "its time ran out while it waited for a slot")
		}
		if a == nil {
			e.work.Wait()
			now = time.Now()
			continue
		}
		ctx := &attemptContext{deadline: a.Deadline, key: a.Key, report: e.reporter(a.Key)}
		a.Stop = ctx.stop
		if e.session != nil {
			e.session.started = append(e.session.started, a.Key)
			e.session.poke()
		}
		return a, ctx
	}
	return nil, nil
}

// finish records an outcome and tells it. The caller holds mu.
func (e *engine) finish(o Outcome) {
	tell, dropped := e.slots.Finish(o)
	if dropped > 0 {
		e.metrics.dropped.Add(float64(dropped))
		if e.taskLog.Allows(time.Now()) {
			e.log.Warn("too many outcomes without acknowledgement: the oldest are dropped", "dropped", dropped, "kept", e.slots.Load().Unacknowledged)
		}
	}
	if tell && e.session != nil {
		e.session.outcomes = append(e.session.outcomes, o)
		e.session.poke()
	}
	e.settle()
}

// reporter returns the function behind Report for one attempt. Only its handler calls it, perhaps from several goroutines.
func (e *engine) reporter(k Key) func(float64) {
	var last time.Time // guarded by mu
	return func(fraction float64) {
		now := time.Now()
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.session == nil || now.Sub(last) < progressEvery {
			return
		}
		last = now
		e.session.report(k, float32(fraction))
	}
}

// drain refuses everything new and hands back what waits. The channel is closed when everything that ran is finished,
// told and acknowledged.
func (e *engine) drain() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drained = make(chan struct{})
	for _, a := range e.slots.Drain() {
		e.refuse(a, "the worker drains")
	}
	e.settle()
	return e.drained
}

// handBack stops the running handlers and gives their attempts back. The channel is closed when that is told.
func (e *engine) handBack() (told <-chan struct{}, count int) {
	e.mu.Lock()
	back := e.slots.HandBack()
	for _, a := range back {
		e.refuse(a, "the worker ends before the attempt did")
	}
	e.drained = make(chan struct{})
	e.settle()
	told = e.drained
	e.mu.Unlock()
	for _, a := range back {
		a.Stop()
	}
	return told, len(back)
}

// settle closes drained when there is nothing left to wait for. The caller holds mu.
func (e *engine) settle() {
	if e.drained == nil || !e.slots.Finished() || e.session != nil && !e.session.flushed() {
		return
	}
	select {
	case <-e.drained:
	default:
		close(e.drained)
	}
}

// close ends the session and lets the executors go as soon as their handlers return.
func (e *engine) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.session != nil {
		e.session.end(nil)
	}
	e.work.Broadcast()
}

// load tells how full the slots are.
func (e *engine) load() Load {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.slots.Load()
}

// watchOverdue looks every second for handlers that ignore their deadline, and names them in the log.
func (e *engine) watchOverdue(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			e.mu.Lock()
			late := e.slots.Overdue(now, overdueGrace)
			e.mu.Unlock()
			for _, a := range late {
				e.logTask(slog.LevelWarn, "the handler ignores its deadline; its slot stays taken until it returns", a)
			}
		}
	}
}
