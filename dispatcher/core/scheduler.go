package core

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Config is what an operator may choose about the scheduler.
type Config struct {
	Strategy    Strategy
	AdoptGrace  time.Duration // how long a worker may take to come back to a dispatcher that has restarted
	MaxFinished int           // terminal tasks that are kept
	MaxAge      time.Duration // how long a terminal task is kept
	MaxBytes    int64         // texts of terminal tasks that are kept, in bytes
	MaxTypes    int           // types that are accepted into the list of known ones
	Again       uint32        // how many earlier leaderships of the same term there were: their tokens are not used again

	Backoff    func(n int) time.Duration                         // the pause before the n-th retry, jitter included
	NewBreaker func(changed func(from, to BreakerState)) Breaker // changed may be called from within Allow, done and State
	Rand       func(n int) int                                   // a random number below n
}

// Scheduler is what the leader does with the machine: it decides which worker gets which task and when an attempt is
// over. All it decides becomes a record; what is not in a record (who is connected, which slots are taken) is lost with
// the leadership and learnt again by the next leader. It has no goroutines and no clock: its driver calls it under one
// lock, says what time it is, and takes from it what is to be proposed and sent.
type Scheduler struct {
	cfg   Config
	m     *Machine
	term  uint64
	now   time.Time // of the driver's latest call
	awake time.Time // until then, what happens is still the doing of a pause; see Woke

	queues   map[string]*queue
	rounds   []*queue // all of them, the one whose last hand-over is longest ago in front
	active   []*queue // memory for Flush
	workers  map[string]*worker
	byLink   map[Link]*worker
	flights  map[uint64]*flight   // by task
	orphans  map[string][]*flight // by worker: begun under an earlier leader, and not yet heard of
	waits    map[uint64]*timer    // by task: the end of its backoff, or its queue timeout
	timers   timers
	resting  []rest    // workers that refused for capacity, the one that may be asked again first in front
	unwell   []*worker // whose breaker is not closed, or was not a tick ago
	stale    []*worker // to be lined up anew
	cramped  []*worker // with room for one type only while no other waits, or they had when they were looked at last
	eased    bool      // some of them were looked at again; Flush starts anew
	uneven   bool      // a type has come into use; Flush weighs them
	aside    []*place  // memory for pick
	turns    uint64
	links    Link
	asked    map[string]bool // types proposed as known; know drops those that are
	goal     uint64          // how many tasks will have been forgotten once the last Forget is applied
	ended    int             // tasks since retain was called last
	oddities map[string]uint64

	begun    []*flight // attempts that have started since the last Take
	records  [][]byte  // to be proposed, in order
	hurry    bool      // somebody waits for some of them
	encoder  Encoder
	outgoing []*worker // with something in their outbox
}

// NewScheduler returns the scheduler of the leader of a term, with the machine's tasks where they stand. From here on
// the machine's steps must reach it: set m.Changed to its Changed.
func NewScheduler(cfg Config, m *Machine, term uint64, now time.Time) *Scheduler {
	s := &Scheduler{
		cfg: cfg, m: m, term: term, now: now,
		queues: map[string]*queue{}, workers: map[string]*worker{}, byLink: map[Link]*worker{},
		flights: map[uint64]*flight{}, orphans: map[string][]*flight{}, waits: map[uint64]*timer{},
		asked: map[string]bool{}, oddities: map[string]uint64{},
		goal: m.Forgotten(),
	}
	var queued []*Task
	m.tasks.each(func(t *Task) {
		switch t.State {
		case Queued:
			queued = append(queued, t)
		case Retrying:
			s.rest(t)
		case Dispatched, Processing:
			s.orphan(t)
		}
	})
	slices.SortFunc(queued, func(a, b *Task) int { return cmp.Compare(a.Order, b.Order) })
	for _, t := range queued {
		s.enqueue(t, false)
	}
	return s
}

// orphan takes up an attempt that an earlier leader handed over: its worker may still be at it, or have an outcome that
// nobody took. So its deadline counts only once the worker is back. Clocks of leaders differ: it gets no more time than
// it had at first.
func (s *Scheduler) orphan(t *Task) {
	left := min(t.AttemptTimeout, t.AttemptTimeout-s.now.Sub(t.DispatchedAt.Time()))
	f := &flight{
		spec: t.Spec, token: t.Attempt, workerID: t.WorkerID, leaseID: t.LeaseID,
		handed: s.now.Add(left - t.AttemptTimeout), deadline: s.now.Add(left), started: t.State == Processing,
		timer: timer{task: t.ID},
	}
	s.flights[t.ID] = f
	s.queue(t.Type).flying++
	s.await(f)
}

// Begin tells the time; the driver calls it before anything else, each time it takes the lock.
func (s *Scheduler) Begin(now time.Time) { s.now = now }

// Hurry tells whether somebody waits for some of what Take is going to return. Nobody does for the word that an attempt
// was handed over or began: its outcome follows, and until then it is enough to know it soon.
func (s *Scheduler) Hurry() bool { return s.hurry }

// Take returns what the scheduler wants proposed, in order, and the links that have something to send, since the last
// call: a link again when what it has is no longer Patient.
func (s *Scheduler) Take() (records [][]byte, send []Link) {
	s.tellBegun()
	records, s.records, s.hurry = s.records, nil, false
	for _, w := range s.outgoing {
		if w.link != 0 && len(w.outbox) > 0 {
			send = append(send, w.link)
		}
	}
	s.outgoing = s.outgoing[:0]
	return records, send
}

// Outbox returns what is to be sent on a link, in order, and empties it. room is reused for what comes next.
func (s *Scheduler) Outbox(link Link, room []Message) []Message {
	w := s.byLink[link]
	if w == nil {
		return nil
	}
	out := w.outbox
	w.outbox, w.patient = room[:0], false
	return out
}

// Patient tells whether all that is to be sent on a link are acknowledgements, and the worker does not drain. They need
// not go before something else does: all they do there is to let go of an outcome, and a message of its own costs both
// sides as much as an assignment.
func (s *Scheduler) Patient(link Link) bool {
	w := s.byLink[link]
	return w != nil && w.patient && w.info.State == WorkerActive && !w.leaving
}

// Wake returns when Tick is to be called at the latest.
func (s *Scheduler) Wake() (time.Time, bool) {
	var due time.Time
	if len(s.resting) > 0 {
		due = s.resting[0].until
	}
	if len(s.timers) > 0 && (due.IsZero() || s.timers[0].due.Before(due)) {
		due = s.timers[0].due
	}
	return due, !due.IsZero()
}

// Tick does what is due.
func (s *Scheduler) Tick() {
	for len(s.timers) > 0 && !s.timers[0].due.After(s.now) {
		due := s.timers[0]
		s.timers.stop(due)
		if f := s.flights[due.task]; f != nil && due == &f.timer {
			s.overdue(f)
			continue
		}
		delete(s.waits, due.task)
		switch t := s.m.Task(due.task); {
		case t == nil:
		case t.State == Retrying:
			s.propose(&Requeue{At: At(s.now), Task: t.ID, Token: t.Attempt})
		case t.State == Queued:
			s.propose(&Expire{At: At(s.now), Task: t.ID})
		}
	}
	s.nurse()
	s.weigh()
	s.retain()
}

// nurse lets open breakers wait out their time, and ends probes that were cancelled and never answered.
func (s *Scheduler) nurse() {
	unwell := s.unwell
	s.unwell = unwell[:0]
	for _, w := range unwell {
		if w.breaking == BreakerOpen {
			w.breaker.State()
		}
		if w.probe != nil && !w.probe.deadline.After(s.now) {
			s.settle(w.probe, false)
		}
		if w.unwell = w.breaking != BreakerClosed && s.workers[w.info.ID] == w; w.unwell {
			s.unwell = append(s.unwell, w)
		}
	}
	clear(unwell[len(s.unwell):])
	s.lineUp() // those that left are forgotten, though nobody is chosen
}

// overdue ends an attempt whose timer has run out.
func (s *Scheduler) overdue(f *flight) {
	if s.awakening() {
		f.due = s.awake
		s.timers.add(&f.timer)
		return
	}
	if f.worker == nil {
		s.lose(f, fmt.Sprintf("worker %s did not come back within %v after the dispatcher did", f.workerID, s.cfg.AdoptGrace))
		return
	}
	s.settle(f, false)
	s.drop(f, EndTimeout, f.late())
}

// Changed follows a step of the machine.
func (s *Scheduler) Changed(t *Task, from State) {
	if wait := s.waits[t.ID]; wait != nil {
		s.timers.stop(wait)
		delete(s.waits, t.ID)
	}
	f := s.flights[t.ID]
	if f == nil && from == Queued {
		q := s.queue(t.Type)
		q.bury(s.live)
		q.dirty = true // it may have stood before one that a worker may be handed
		s.ease(q)
	}
	if f != nil && !t.State.Running() {
		s.land(f)
	}
	if t.State.Running() && (f == nil || f.token != t.Attempt) {
		// Not handed over by this scheduler: the record is older than it is.
		if f != nil {
			s.land(f)
		}
		s.orphan(t)
	}
	switch t.State {
	case Queued:
		s.enqueue(t, from == Dispatched)
	case Retrying:
		s.rest(t)
	case Completed, Failed, Cancelled:
		if s.ended++; s.ended >= retainEvery {
			s.retain()
		}
	}
}

// retainEvery is after how many tasks that ended others are forgotten, if the next tick does not come first: at a high
// rate, ticks alone would let go of fewer than end.
const retainEvery = 256

// land takes down an attempt that the machine has ended.
func (s *Scheduler) land(f *flight) {
	switch f.phase {
	case aloft: // ended by somebody else: cancelled
		s.release(f, true)
	case answered:
		if f.worker != nil {
			s.send(f.worker, Message{Kind: Acknowledge, Task: f.task, Token: f.token})
		}
	}
	s.timers.stop(&f.timer)
	delete(s.flights, f.task)
	s.queue(f.spec.Type).flying--
}

// live tells whether a version in a queue is still its task's version, and not on its way to a worker.
func (s *Scheduler) live(t *Task) bool { return s.m.Task(t.ID) == t && s.flights[t.ID] == nil }

// enqueue puts a task into its queue, and sets the clock for how long it may wait there.
func (s *Scheduler) enqueue(t *Task, front bool) {
	q := s.queue(t.Type)
	if front {
		q.giveBack(t)
	} else {
		q.push(t)
	}
	q.dirty = true
	s.uneven = s.uneven || !q.inUse(s.now)
	q.queued = s.now
	if t.QueueTimeout > 0 && t.Attempt == 0 {
		s.wait(t, min(t.QueueTimeout, t.QueueTimeout-s.now.Sub(t.Created.Time())))
	}
}

// rest sets the clock for a task that waits out its backoff. Clocks of leaders differ: it rests no longer than was meant
// when it began to.
func (s *Scheduler) rest(t *Task) {
	began := t.steps[len(t.steps)-1].At
	s.wait(t, time.Duration(min(t.RetryAt-began, t.RetryAt-At(s.now)))*time.Microsecond)
}

func (s *Scheduler) wait(t *Task, d time.Duration) {
	w := &timer{due: s.now.Add(d), task: t.ID}
	s.waits[t.ID] = w
	s.timers.add(w)
}

// queue returns the queue of a type.
func (s *Scheduler) queue(typ string) *queue {
	q := s.queues[typ]
	if q == nil {
		q = &queue{typ: typ, ready: lineup{strategy: s.cfg.Strategy}}
		s.queues[typ] = q
		s.rounds = append(s.rounds, q)
	}
	return q
}

// retain lets go of terminal tasks that are too many, too old or too large.
func (s *Scheduler) retain() {
	s.ended = 0
	if s.m.Forgotten() < s.goal {
		return // the last Forget is not applied yet
	}
	if n := s.m.excess(s.cfg.MaxFinished, s.cfg.MaxBytes, At(s.now.Add(-s.cfg.MaxAge))); n > 0 {
		s.goal = s.m.Forgotten() + n
		s.propose(&Forget{Count: n})
	}
}

func (s *Scheduler) propose(rec record) {
	s.records = append(s.records, s.encoder.Encode(rec))
	switch rec.(type) {
	case *Dispatch, *Start:
	default:
		s.hurry = true
	}
}

func (s *Scheduler) send(w *worker, msg Message) {
	if w.link == 0 {
		return
	}
	if first := len(w.outbox) == 0; first || w.patient && msg.Kind != Acknowledge {
		w.patient = first && msg.Kind == Acknowledge
		s.outgoing = append(s.outgoing, w)
	}
	w.outbox = append(w.outbox, msg)
}
