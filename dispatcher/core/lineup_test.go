package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scan is the choice of a worker once more, as plainly as it can be said: it looks at all of them. It returns those that
// are as good as each other, nil when none is ready.
func (s *Scheduler) scan(q *queue, t *Task) (best []*worker) {
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		w := s.workers[id]
		p := w.place(q)
		if _, haunted := w.ghosts[ghost{t.ID, s.nextToken(t)}]; haunted || p == nil || !w.ready(p, s.now) {
			continue
		}
		order := 1
		if len(best) > 0 {
			order = s.compare(best[0], w, t)
		}
		switch {
		case order > 0:
			best = []*worker{w}
		case order == 0:
			best = append(best, w)
		}
	}
	return best
}

// compare returns -1 when a is to be preferred to b for a task, which of two that were never chosen is the one that comes
// first.
func (s *Scheduler) compare(a, b *worker, t *Task) int {
	switch {
	case a.tried(t) != b.tried(t):
		return map[bool]int{true: 1, false: -1}[a.tried(t)]
	case s.cfg.Strategy == Random:
		return 0
	case s.cfg.Strategy == LeastLoaded && a.assigned()*b.info.Capacity != b.assigned()*a.info.Capacity:
		return cmp.Compare(a.assigned()*b.info.Capacity, b.assigned()*a.info.Capacity)
	case a.turn == b.turn:
		return -1
	}
	return cmp.Compare(a.turn, b.turn)
}

// chooser compares each choice of a leader with what the scan says, and after each flush that nothing is left which could
// be handed over.
type chooser struct {
	*rapid.T
	*leader
	workers []*fakeWorker
	hands   []hand
}

// hand is an assignment that a worker has not answered.
type hand struct {
	w    *fakeWorker
	link Link
	m    Message
}

// flushing hands over one by one, in an order of its own, or leaves all of it to the flush.
func (c *chooser) flushing() {
	s := c.s
	s.rouse()
	for _, q := range s.rounds {
		q.last = nil
	}
	for rapid.Bool().Draw(c.T, "one by one") {
		q := s.queue(rapid.SampledFrom([]string{"flood", "rare", "long"}).Draw(c.T, "queue"))
		t := q.front(s.live)
		if t == nil {
			continue
		}
		got, want := s.again(q, t), s.scan(q, t)
		switch {
		case got == nil:
			got = s.pick(q, t)
		case got != q.last.worker || got.tried(t) || !got.ready(got.place(q), s.now):
			c.T.Fatalf("task %d of %s goes to %v too", t.ID, q.typ, names(got))
		default: // one more of its handful
			q.more++
			want = []*worker{got}
		}
		if got == nil && len(want) > 0 || got != nil && !slices.Contains(want, got) {
			c.T.Fatalf("task %d of %s: the lineup says %v, the scan %v", t.ID, q.typ, names(got), names(want...))
		}
		s.handOverOne(q)
	}
}

func (c *chooser) flushed() {
	for _, q := range c.s.rounds {
		if t := q.front(c.s.live); t != nil {
			if want := c.s.scan(q, t); len(want) > 0 {
				c.T.Fatalf("task %d of %s was not handed over, and %v are ready", t.ID, q.typ, names(want...))
			}
		}
	}
	if err := c.s.check(); err != nil {
		c.T.Fatal(err)
	}
}

func names(workers ...*worker) (ids []string) {
	for _, w := range workers {
		if w != nil {
			ids = append(ids, w.info.ID)
		}
	}
	return ids
}

// act lets something happen.
func (c *chooser) act() {
	anyTypes := rapid.SampledFrom([][]string{{"flood"}, {"rare"}, {"flood", "rare"}, {"flood", "rare", "long"}})
	w := c.workers[rapid.IntRange(0, len(c.workers)-1).Draw(c.T, "worker")]
	for _, m := range w.heard(Assign) {
		c.hands = append(c.hands, hand{w, w.link, m})
	}
	switch rapid.IntRange(0, 19).Draw(c.T, "what") {
	case 0, 1, 2, 3:
		c.submit(Spec{Type: rapid.SampledFrom([]string{"flood", "flood", "rare", "long"}).Draw(c.T, "type"),
			AttemptTimeout: rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(c.T, "timeout")})
	case 4:
		if last := c.m.LastID(); last > 0 {
			c.cancel(rapid.Uint64Range(1, last).Draw(c.T, "task"))
		}
	case 5:
		c.pass(rapid.SampledFrom([]time.Duration{time.Millisecond, 60 * time.Millisecond, time.Second, breakerPause}).Draw(c.T, "pass"))
	case 6:
		w.state(rapid.SampledFrom([]WorkerState{WorkerActive, WorkerActive, WorkerDraining, WorkerUnhealthy, WorkerOffline}).Draw(c.T, "state"))
	case 7:
		w.info.Types, w.info.Capacity = anyTypes.Draw(c.T, "types"), rapid.IntRange(0, 3).Draw(c.T, "capacity")
		if rapid.Bool().Draw(c.T, "another process") {
			w.info.LeaseID += "'"
		}
		w.register()
	case 8:
		if rapid.Bool().Draw(c.T, "after a pause") {
			c.do(c.s.Woke)
		}
		w.hang("cut")
	case 9:
		c.do(func() { c.s.RemoveWorker(w.info.ID) })
		w.register()
	case 10, 11, 12:
		var held []Held
		if last := c.m.LastID(); last > 0 && rapid.Bool().Draw(c.T, "holds something") {
			id := rapid.Uint64Range(1, last).Draw(c.T, "held")
			if t := c.m.Task(id); t != nil { // and perhaps it bears the token that comes next
				held = append(held, Held{id, t.Attempt + Token(rapid.IntRange(0, 1).Draw(c.T, "ahead")), true})
			}
		}
		w.hello(rapid.SampledFrom([]int{0, 3, 256}).Draw(c.T, "window"), held, nil)
	default:
		c.answer()
	}
}

// answer lets a worker answer what it was assigned.
func (c *chooser) answer() {
	if len(c.hands) == 0 {
		return
	}
	i := rapid.IntRange(0, len(c.hands)-1).Draw(c.T, "assignment")
	h := c.hands[i]
	c.hands = slices.Delete(c.hands, i, i+1)
	elapsed := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Microsecond, 300 * time.Microsecond, time.Second}).Draw(c.T, "elapsed")
	how := rapid.SampledFrom([]Ending{EndResult, EndResult, EndRetryable, EndRefused}).Draw(c.T, "how")
	drains := rapid.IntRange(0, 5).Draw(c.T, "drains") == 0
	c.do(func() {
		if how == EndRefused {
			if drains {
				c.s.Drains(h.link)
			}
			c.s.Refused(h.link, h.m.Task, h.m.Token, "full")
			return
		}
		c.s.Outcome(h.link, Outcome{Task: h.m.Task, Token: h.m.Token, How: how, Elapsed: elapsed})
	})
}

func TestTheChoiceIsThatOfAScanOfAllWorkers(t *testing.T) {
	for _, strategy := range []Strategy{LeastLoaded, RoundRobin, Random} {
		t.Run(strategy.String(), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				c := &chooser{T: rt, leader: newLeader(t, func(cfg *Config) {
					cfg.Strategy = strategy
					cfg.Rand = func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "random") }
				})}
				c.flushes, c.flushedAll = c.flushing, c.flushed
				for i := range 4 {
					c.workers = append(c.workers, c.worker(fmt.Sprint("w", i), 1+i%3, "flood", "rare"))
				}
				for range rapid.IntRange(1, 60).Draw(rt, "steps") {
					c.act()
				}
			})
		})
	}
}

func TestWorkersThatLeftAreForgottenThoughNobodyIsChosen(t *testing.T) {
	l := newLeader(t)
	for i := range 100 {
		l.s.SetWorker(WorkerInfo{ID: "w", LeaseID: fmt.Sprint("lease", i), Types: []string{"hash"}, Capacity: 1, State: WorkerActive})
		l.s.Flush()
		l.s.Tick()
		l.s.Take()
	}
	if kept := len(l.s.stale) + len(l.s.cramped); kept > 1 {
		t.Errorf("%d workers are kept on an idle grid, after one was started 100 times", kept)
	}
}

func TestOnlyWorkersWithoutRoomForTwoTypesAreLookedAtAgainWhenOneOfThemWaitsNoMore(t *testing.T) {
	l := newLeader(t)
	for i := range 10 {
		l.s.SetWorker(WorkerInfo{ID: fmt.Sprint("away", i), LeaseID: "x", Types: []string{"hash"}, Capacity: 1, State: WorkerOffline})
	}
	good := l.worker("good", 1, "hash")
	l.submit(Spec{})
	good.one()
	l.submit(Spec{})
	for _, w := range l.s.cramped {
		if w.info.State == WorkerOffline {
			t.Errorf("%s is looked at with each task, and is OFFLINE", w.info.ID)
		}
	}
}

// TestATaskThatIsCancelledMakesWayForTheOneBehindIt: the first cannot go to the only worker, which still has an attempt of it
// that bears the token of the next.
func TestATaskThatIsCancelledMakesWayForTheOneBehindIt(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	w.hang("cut")
	first := l.submit(Spec{})
	w.hello(0, []Held{{Task: first, Token: NewToken(1, 1)}}, nil)
	second := l.submit(Spec{})
	w.none("which would take one attempt for the other")
	l.cancel(first)
	if m := w.one(); m.Task != second {
		t.Errorf("got task %d, want %d", m.Task, second)
	}
}
