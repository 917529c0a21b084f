package core

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// spread submits n tasks one by one and returns how many each worker got.
func spread(l *leader, n int, workers ...*fakeWorker) []int {
	for range n {
		l.submit(Spec{})
	}
	got := make([]int, len(workers))
	for i, w := range workers {
		got[i] = len(w.heard(Assign))
	}
	return got
}

func TestTheLeastLoadedWorkerIsChosenAndTurnsBreakTies(t *testing.T) {
	l := newLeader(t)
	a, b, c := l.worker("a", 2, "hash"), l.worker("b", 4, "hash"), l.worker("c", 2, "hash")
	var order []string
	for range 8 {
		l.submit(Spec{})
		for _, w := range []*fakeWorker{a, b, c} {
			for range w.heard(Assign) {
				order = append(order, w.info.ID)
			}
		}
	}
	// All free: in turn. Then by share: b is at a quarter where a and c are at a half.
	want := []string{"a", "b", "c", "b", "a", "c", "b", "b"}
	if !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	l.submit(Spec{})
	for _, w := range []*fakeWorker{a, b, c} {
		w.none("with all slots taken")
	}
}

func TestRoundRobinTakesTurnsWhateverTheLoad(t *testing.T) {
	l := newLeader(t, func(c *Config) { c.Strategy = RoundRobin })
	a, b, c := l.worker("a", 100, "hash"), l.worker("b", 3, "hash"), l.worker("c", 100, "hash")
	if got, want := spread(l, 9, a, b, c), []int{3, 3, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := spread(l, 4, a, b, c), []int{2, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("with b full: got %v, want %v", got, want)
	}
}

func TestRandomChoosesEachReadyWorkerEquallyOften(t *testing.T) {
	seed := 0
	l := newLeader(t, func(c *Config) {
		c.Strategy = Random
		c.Rand = func(n int) int { seed = (seed*1103515245 + 12345) & 0x7fffffff; return (seed >> 8) % n }
	})
	a, b, c := l.worker("a", 2000, "hash"), l.worker("b", 2000, "hash"), l.worker("c", 2000, "hash")
	for _, n := range spread(l, 1500, a, b, c) {
		if n < 400 || n > 600 {
			t.Errorf("one of three workers got %d of 1,500 tasks", n)
		}
	}
}

func TestStrategiesHaveNames(t *testing.T) {
	for _, s := range []Strategy{LeastLoaded, RoundRobin, Random} {
		if got, err := ParseStrategy(s.String()); got != s || err != nil {
			t.Errorf("ParseStrategy(%q): got %v, %v", s, got, err)
		}
	}
	if _, err := ParseStrategy("fastest"); err == nil {
		t.Error(`ParseStrategy("fastest") is taken`)
	}
}

func TestARetryPrefersAnotherWorker(t *testing.T) {
	for _, strategy := range []Strategy{LeastLoaded, RoundRobin, Random} {
		l := newLeader(t, func(c *Config) { c.Strategy = strategy })
		workers := []*fakeWorker{l.worker("a", 10, "hash"), l.worker("b", 1, "hash"), l.worker("c", 10, "hash")}
		id := l.submit(Spec{MaxAttempts: 5})
		var last string
		for range 4 {
			for _, w := range workers {
				for _, m := range w.heard(Assign) {
					if w.info.ID == last {
						t.Errorf("%v: worker %s got the retry of what it failed", strategy, last)
					}
					last = w.info.ID
					w.end(m, EndRetryable, "no luck")
				}
			}
			l.pass(5 * time.Second)
		}
		l.expect(Dispatched, id)
	}
}

func TestTheOnlyWorkerGetsTheRetryOfWhatItFailed(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	w.end(w.one(), EndRetryable, "no luck")
	l.pass(time.Second)
	m := w.one()
	if m.Task != id || m.Token.Number() != 2 {
		t.Errorf("got task %d, attempt %d; want task %d, attempt 2", m.Task, m.Token.Number(), id)
	}
	w.finish(m)
	l.expect(Completed, id)
	l.idle()
}

func TestAfterItsRestartAWorkerIsAnotherOne(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	w.begin(w.one())
	w.info.LeaseID = "lease-a-2"
	w.register()
	l.expect(Retrying, id)
	if view := l.s.Workers()[0]; view.Connected || view.Running != 0 || len(l.s.byLink) != 0 {
		t.Errorf("it has what the process before it had: %+v", view)
	}
	w.hello(0, nil, nil)
	l.pass(time.Second)
	w.finish(w.one())
	l.expect(Completed, id)
}

func TestHigherPriorityFirstThenFirstComeFirstServed(t *testing.T) {
	l := newLeader(t)
	for i, prio := range []int32{0, 5, 9, 5, 0, 9} {
		l.submit(Spec{Priority: prio, Payload: fmt.Sprint(i)})
	}
	w := l.worker("a", 1, "hash")
	var got []uint64
	for range 6 {
		m := w.one()
		got = append(got, m.Task)
		w.finish(m)
	}
	if want := []uint64{3, 6, 2, 4, 1, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	l.idle()
}

func TestRefusedTasksGoBackToWhereTheyStood(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 3, "hash")
	for range 5 {
		l.submit(Spec{})
	}
	for _, m := range w.heard(Assign) { // 1, 2, 3
		w.refuse(m)
	}
	w.none("which has just refused")
	l.pass(time.Second)
	if got, want := ids(w.heard(Assign)), []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheOrderOfTheQueueSurvivesARestart(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	for range 4 {
		l.submit(Spec{})
	}
	first := w.heard(Assign)
	w.end(first[0], EndRetryable, "no luck") // 1 goes to the end; 3 is handed over
	l.pass(time.Second)
	w.refuse(first[1]) // 2 goes back to the front
	l.restart(time.Second)
	w = l.worker("b", 9, "hash")
	if got, want := ids(w.heard(Assign)), []uint64{2, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOnlyConnectedActiveWorkersOfTheTypeGetTasks(t *testing.T) {
	l := newLeader(t)
	other := l.worker("other", 1, "sum")
	for _, state := range []WorkerState{WorkerDraining, WorkerUnhealthy, WorkerOffline, WorkerUnknown} {
		l.worker(state.String()+"x", 1, "hash").state(state)
	}
	silent := &fakeWorker{leader: l, info: WorkerInfo{ID: "not connected", LeaseID: "x", Types: []string{"hash"}, Capacity: 1, State: WorkerActive}}
	silent.register()
	broken := l.worker("broken", 1, "hash")
	broken.hang("cut")
	empty := l.worker("no capacity", 0, "hash")
	id := l.submit(Spec{})
	l.pass(time.Minute)
	l.expect(Queued, id)
	for link, messages := range l.sent {
		if len(messages) > 0 {
			t.Errorf("stream %d: %d messages", link, len(messages))
		}
	}
	empty.info.Capacity = 1
	empty.register()
	if empty.one().Task != id {
		t.Error("the first that is ready does not get it")
	}
	other.none("of another type")
}

func TestADrainingWorkerFinishesWhatItHas(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	done, handedBack, next := l.submit(Spec{}), l.submit(Spec{}), l.submit(Spec{})
	got := w.heard(Assign)
	w.begin(got[0])
	w.begin(got[1])
	w.state(WorkerDraining)
	w.end(got[0], EndResult, "done")
	w.none("which drains")
	w.refuse(got[1])
	l.expect(Completed, done)
	l.expect(Retrying, handedBack)
	l.expect(Queued, next)
	l.pass(time.Minute)
	w.none("which drains")
	l.do(func() { l.s.RemoveWorker("a") })
	b := l.worker("b", 2, "hash")
	for _, m := range b.heard(Assign) {
		b.finish(m)
	}
	l.expect(Completed, done, handedBack, next)
	if got := l.m.Task(handedBack); got.Attempts != 1 || got.Redeliveries != 1 {
		t.Errorf("handed back after it began: got %d attempts, %d redeliveries; want 1 and 1", got.Attempts, got.Redeliveries)
	}
	l.idle()
}

func TestAnUnhealthyWorkerKeepsWhatItHas(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	w.state(WorkerUnhealthy)
	l.expect(Dispatched, id)
	w.finish(m)
	l.expect(Completed, id)
}

func TestAnOfflineWorkerLosesWhatItHas(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	w.state(WorkerOffline)
	l.expect(Retrying, id)
	if got := w.heard(Stop); len(got) != 1 || got[0].Token != m.Token {
		t.Errorf("its stream lives, and it got %v; want to be told to stop", got)
	}
	w.state(WorkerActive)
	l.pass(time.Second)
	w.none("whose slot is taken by what it was told to stop")
	w.refuse(m)
	w.finish(w.one())
	l.expect(Completed, id)
	l.idle()
}

func TestAWorkerThatIsGoneLosesWhatItHas(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	w.begin(w.one())
	l.do(func() { l.s.RemoveWorker("a") })
	l.expect(Retrying, id)
	if got := l.m.Task(id); got.Redeliveries != 1 || got.Attempts != 0 {
		t.Errorf("got %d attempts, %d redeliveries; want 0 and 1", got.Attempts, got.Redeliveries)
	}
	if len(l.s.Workers()) != 0 || len(l.s.byLink) != 0 {
		t.Error("it is still there")
	}
}
