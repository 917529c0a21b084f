package core

import (
	"errors"
	"slices"
	"time"
)

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
