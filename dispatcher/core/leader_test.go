package core

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// leader drives a Scheduler the way the dispatcher does, with a journal that makes durable what it holds when it is told
// to, and with time that passes when it is told to.
type leader struct {
	testing.TB
	cfg  Config
	m    *Machine
	s    *Scheduler
	term uint64
	now  time.Time

	journal  [][]byte           // proposed, and not durable yet
	sent     map[Link][]Message // and not looked at yet
	breakers map[string]*fakeBreaker
	admitted string // the worker that is being entered
}

// lead begins a leadership over a machine. Each of opts may change the configuration.
func lead(t testing.TB, m *Machine, term uint64, opts ...func(*Config)) *leader {
	l := &leader{TB: t, m: m, term: term, now: start, sent: map[Link][]Message{}, breakers: map[string]*fakeBreaker{}}
	l.cfg = Config{
		AdoptGrace: 10 * time.Second, MaxFinished: 1000, MaxAge: 24 * time.Hour, MaxBytes: 1 << 30, MaxTypes: 100,
		Backoff: func(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond },
		NewBreaker: func(changed func(from, to BreakerState)) Breaker {
			b := &fakeBreaker{now: func() time.Time { return l.now }, changed: changed}
			l.breakers[l.admitted] = b
			return b
		},
		Rand: func(int) int { return 0 },
	}
	for _, opt := range opts {
		opt(&l.cfg)
	}
	l.takeOver(m)
	return l
}

// newLeader leads an empty machine.
func newLeader(t testing.TB, opts ...func(*Config)) *leader {
	return lead(t, NewMachine(100_000), 1, opts...)
}

func (l *leader) takeOver(m *Machine) {
	l.m = m
	l.s = NewScheduler(l.cfg, m, l.term, l.now)
	m.Changed = l.s.Changed
	l.journal, l.sent = nil, map[Link][]Message{}
	l.flush()
}

// restart is a crash: what is not durable is lost, and another leader takes over after a pause, in the next term.
func (l *leader) restart(after time.Duration) {
	l.Helper()
	l.now = l.now.Add(after)
	l.term++
	m := NewMachine(100_000)
	r, w := snapshotPipe(l.m)
	if err := m.Restore(r); err != nil {
		l.Fatal(err)
	}
	if err := <-w; err != nil {
		l.Fatal(err)
	}
	l.takeOver(m)
}

// step calls the scheduler and takes from it what is to be proposed and sent.
func (l *leader) step(do func()) {
	l.s.Begin(l.now)
	do()
	l.flush()
}

func (l *leader) flush() {
	l.s.Flush()
	records, links := l.s.Take()
	l.journal = append(l.journal, records...)
	for _, link := range links {
		l.sent[link] = append(l.sent[link], l.s.Outbox(link, nil)...)
	}
}

// commit makes durable what is proposed, and what that leads to.
func (l *leader) commit() {
	l.Helper()
	for len(l.journal) > 0 {
		batch := l.journal
		l.journal = nil
		l.s.Begin(l.now)
		for _, rec := range batch {
			if _, err := l.m.Apply(rec); err != nil {
				l.Fatal(err)
			}
		}
		l.flush()
	}
}

// do is step and commit.
func (l *leader) do(what func()) {
	l.Helper()
	l.step(what)
	l.commit()
}

// pass lets time pass, with ticks as often as the dispatcher makes them.
func (l *leader) pass(d time.Duration) {
	l.Helper()
	end := l.now.Add(d)
	for {
		next := l.now.Add(time.Second / 2)
		if due, ok := l.s.Wake(); ok && due.Before(next) {
			next = due
		}
		if next.After(end) {
			break
		}
		l.now = later(l.now, next)
		l.do(l.s.Tick)
	}
	l.now = end
	l.do(l.s.Tick)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// propose puts records of a client into the journal.
func (l *leader) propose(recs ...record) {
	for _, rec := range recs {
		l.journal = append(l.journal, Encode(rec))
	}
}

func (l *leader) submit(spec Spec) uint64 {
	l.Helper()
	l.propose(&Submit{At: At(l.now), Spec: complete(l, spec)})
	l.commit()
	return l.m.LastID()
}

func (l *leader) cancel(id uint64) {
	l.Helper()
	l.propose(&Cancel{At: At(l.now), Task: id, Reason: "cancelled"})
	l.commit()
}

// expect checks where tasks stand.
func (l *leader) expect(want State, ids ...uint64) {
	l.Helper()
	for _, id := range ids {
		if t := l.m.Task(id); t == nil || t.State != want {
			l.Errorf("task %d: got %v, want %v", id, t, want)
		}
	}
}

// idle checks that the scheduler holds nothing of tasks that are over.
func (l *leader) idle() {
	l.Helper()
	if err := l.s.check(); err != nil {
		l.Error(err)
	}
	if n := len(l.s.flights) + len(l.s.orphans) + len(l.s.waits) + len(l.s.timers); n != 0 {
		l.Errorf("nothing is going on, and there are %d flights, %d orphans, %d waits, %d timers", len(l.s.flights), len(l.s.orphans), len(l.s.waits), len(l.s.timers))
	}
	for id, w := range l.s.workers {
		if w.assigned() != 0 || w.slow != 0 || w.probe != nil {
			l.Errorf("worker %s is idle, and has %d slots taken, %d of them not short, probe %v", id, w.assigned(), w.slow, w.probe)
		}
	}
}

// fakeWorker is the worker's end of a stream, which says what a test wants it to say.
type fakeWorker struct {
	*leader
	info WorkerInfo
	link Link
}

// worker enters a worker with the name service and connects it.
func (l *leader) worker(id string, capacity int, types ...string) *fakeWorker {
	l.Helper()
	w := &fakeWorker{leader: l, info: WorkerInfo{ID: id, LeaseID: "lease-" + id, Types: types, Capacity: capacity, State: WorkerActive}}
	w.register()
	w.hello(0, nil, nil)
	return w
}

func (w *fakeWorker) register() {
	w.Helper()
	w.do(func() { w.admitted = w.info.ID; w.s.SetWorker(w.info) })
}

// state lets the name service say another state.
func (w *fakeWorker) state(s WorkerState) {
	w.Helper()
	w.info.State = s
	w.register()
}

// hello opens a stream.
func (w *fakeWorker) hello(window int, held []Held, outcomes []Outcome) {
	w.Helper()
	w.do(func() {
		var err error
		if w.link, err = w.s.Connect(w.info.ID, w.info.LeaseID, window, held, outcomes); err != nil {
			w.Error(err)
		}
	})
}

// hang is a stream that breaks.
func (w *fakeWorker) hang(why string) {
	w.Helper()
	w.do(func() { w.s.Disconnect(w.link, why, true) })
}

// heard returns the messages of a kind that have come since the last call; those of other kinds stay.
func (w *fakeWorker) heard(kind MessageKind) (got []Message) {
	w.sent[w.link] = slices.DeleteFunc(w.sent[w.link], func(m Message) bool {
		if m.Kind == kind {
			got = append(got, m)
		}
		return m.Kind == kind
	})
	return got
}

// ids returns the tasks that messages are about.
func ids(messages []Message) []uint64 {
	got := make([]uint64, 0, len(messages))
	for _, m := range messages {
		got = append(got, m.Task)
	}
	return got
}

// one returns the one assignment that has come.
func (w *fakeWorker) one() Message {
	w.Helper()
	got := w.heard(Assign)
	if len(got) != 1 {
		w.Fatalf("worker %s: got tasks %v, want one", w.info.ID, ids(got))
	}
	return got[0]
}

// none checks that no assignment has come.
func (w *fakeWorker) none(why string) {
	w.Helper()
	if got := w.heard(Assign); len(got) > 0 {
		w.Errorf("worker %s, %s: got tasks %v, want none", w.info.ID, why, ids(got))
	}
}

// end answers an assignment and returns what was odd about it.
func (w *fakeWorker) end(m Message, how Ending, text string) (odd string) {
	w.Helper()
	w.do(func() { odd = w.answer(m, how, text, 50*time.Millisecond) })
	return odd
}

// answer is end without a commit.
func (w *fakeWorker) answer(m Message, how Ending, text string, elapsed time.Duration) string {
	return w.s.Outcome(w.link, Outcome{Task: m.Task, Token: m.Token, How: how, Text: text, Elapsed: elapsed})
}

func (w *fakeWorker) begin(m Message) {
	w.Helper()
	w.do(func() {
		if odd := w.s.Started(w.link, m.Task, m.Token); odd != "" {
			w.Errorf("started %d: odd: %s", m.Task, odd)
		}
	})
}

// finish begins an assignment and returns a result.
func (w *fakeWorker) finish(m Message) {
	w.Helper()
	w.begin(m)
	if odd := w.end(m, EndResult, "done"); odd != "" {
		w.Errorf("result of %d: odd: %s", m.Task, odd)
	}
}

func (w *fakeWorker) refuse(m Message) (odd string) {
	w.Helper()
	w.do(func() { odd = w.s.Refused(w.link, m.Task, m.Token, "full") })
	return odd
}

// fakeBreaker opens after three faults in a row, and lets one probe through after five seconds. Like gobreaker it takes
// no notice of a done that comes after its state has changed.
type fakeBreaker struct {
	now        func() time.Time
	changed    func(from, to BreakerState)
	state      BreakerState
	faults     int
	opened     time.Time
	probing    bool
	generation int
	refused    int // how often it was asked in vain
}

const (
	breakerFaults = 3
	breakerPause  = 5 * time.Second
)

func (b *fakeBreaker) State() BreakerState {
	if b.state == BreakerOpen && !b.now().Before(b.opened.Add(breakerPause)) {
		b.become(BreakerHalfOpen)
	}
	return b.state
}

func (b *fakeBreaker) Allow() (func(bool), error) {
	switch b.State() {
	case BreakerOpen:
		b.refused++
		return nil, errors.New("open")
	case BreakerHalfOpen:
		if b.probing {
			b.refused++
			return nil, errors.New("one probe is enough")
		}
		b.probing = true
	}
	generation := b.generation
	return func(ok bool) {
		if b.State(); generation == b.generation {
			b.count(ok)
		}
	}, nil
}

func (b *fakeBreaker) count(ok bool) {
	switch {
	case ok && b.state == BreakerHalfOpen:
		b.become(BreakerClosed)
	case ok:
		b.faults = 0
	default:
		if b.faults++; b.state == BreakerHalfOpen || b.faults >= breakerFaults {
			b.become(BreakerOpen)
		}
	}
}

func (b *fakeBreaker) become(to BreakerState) {
	from := b.state
	b.state, b.faults, b.probing, b.opened = to, 0, false, b.now()
	b.generation++
	b.changed(from, to)
}
