package core

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATimeoutSpendsAnAttemptAndTheLastOneFails(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{AttemptTimeout: time.Second, MaxAttempts: 2})
	for range 2 {
		m := w.one()
		w.begin(m)
		l.pass(time.Second - time.Millisecond)
		l.expect(Processing, id)
		l.pass(time.Millisecond)
		w.refuse(m)
		l.pass(100 * time.Millisecond)
	}
	l.expect(Failed, id)
	if got := l.m.Task(id); got.Attempts != 2 || !strings.Contains(got.Error, "1s") || got.Duration != time.Second {
		t.Errorf("got %d attempts, error %q, duration %v", got.Attempts, got.Error, got.Duration)
	}
	l.idle()
}

func TestARetryableErrorAfterTheDeadlineIsATimeout(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{AttemptTimeout: time.Second})
	m := w.one()
	w.begin(m)
	l.now = l.now.Add(time.Second) // and the tick has not come
	w.end(m, EndRetryable, "context deadline exceeded")
	l.expect(Retrying, id)
	if st := l.m.Stats()[0]; st.Timeouts != 1 {
		t.Errorf("timeouts: got %d, want 1; the error says %q", st.Timeouts, l.m.Task(id).Error)
	}
	l.pass(time.Second)
	m = w.one()
	w.begin(m)
	l.now = l.now.Add(time.Second)
	w.end(m, EndResult, "just in time") // a result is a result
	l.expect(Completed, id)
	l.idle()
}

func TestEachRetryWaitsItsBackoff(t *testing.T) {
	var asked []int
	l := newLeader(t, func(c *Config) {
		c.Backoff = func(n int) time.Duration { asked = append(asked, n); return time.Duration(n) * time.Second }
	})
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	w.end(w.one(), EndRetryable, "1")
	l.pass(time.Second)
	w.begin(w.one())
	w.hang("2")
	w.hello(0, nil, nil)
	l.pass(2*time.Second - time.Millisecond)
	l.expect(Retrying, id)
	l.pass(time.Millisecond)
	w.end(w.one(), EndRetryable, "3")
	l.pass(3*time.Second - time.Millisecond)
	l.expect(Retrying, id)
	l.pass(time.Millisecond)
	w.finish(w.one())
	if want := []int{1, 2, 3}; !slices.Equal(asked, want) {
		t.Errorf("backoff asked for %v, want %v", asked, want)
	}
}

func TestAQueueTimeoutEndsOnlyWhatNobodyTook(t *testing.T) {
	l := newLeader(t)
	waits := l.submit(Spec{QueueTimeout: time.Second})
	l.pass(time.Second - time.Millisecond)
	l.expect(Queued, waits)
	l.pass(time.Millisecond)
	l.expect(Failed, waits)

	w := l.worker("a", 1, "hash")
	taken := l.submit(Spec{QueueTimeout: time.Second})
	m := w.one()
	l.pass(10 * time.Second)
	l.expect(Dispatched, taken)
	w.end(m, EndRetryable, "x")
	w.state(WorkerDraining)
	l.pass(10 * time.Second)
	l.expect(Queued, taken)
	if n := len(l.s.timers); n != 0 {
		t.Errorf("%d timers for a task that may wait for ever now", n)
	}
	l.cancel(taken)
	l.idle()
}

func TestAHandOverAndAQueueTimeoutAtTheSameTimeDecideForOne(t *testing.T) {
	for _, expiresFirst := range []bool{true, false} {
		l := newLeader(t)
		id := l.submit(Spec{QueueTimeout: time.Second})
		w := &fakeWorker{leader: l, info: WorkerInfo{ID: "a", LeaseID: "1", Types: []string{"hash"}, Capacity: 1, State: WorkerActive}}
		w.register()
		l.now = l.now.Add(time.Second)
		connect := func() { w.link, _ = l.s.Connect("a", "1", 0, nil, nil) }
		if expiresFirst {
			l.step(l.s.Tick)
			l.step(connect)
		} else {
			l.step(connect)
			l.step(l.s.Tick)
		}
		l.commit()
		m := w.one()
		if expiresFirst {
			l.expect(Failed, id)
			if stops := w.heard(Stop); len(stops) != 1 {
				t.Errorf("got %v, want to be told to stop", stops)
			}
			w.refuse(m)
		} else {
			w.finish(m)
			l.expect(Completed, id)
		}
		l.idle()
	}
}

func TestTerminalTasksAreForgottenByCountAgeAndBytes(t *testing.T) {
	kept := func(l *leader) (ids []uint64) {
		l.m.tasks.each(func(t *Task) { ids = append(ids, t.ID) })
		return ids
	}
	finish := func(l *leader, w *fakeWorker, n int) {
		for range n {
			l.submit(Spec{Payload: "12345", Key: ""})
			w.finish(w.one()) // "done": 9 bytes with the payload
		}
	}
	l := newLeader(t, func(c *Config) { c.MaxFinished = 3 })
	waiting := l.submit(Spec{Type: "sum"})
	finish(l, l.worker("a", 1, "hash"), 5)
	l.pass(time.Second)
	if got, want := kept(l), []uint64{waiting, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("3 by count: kept %v, want %v", got, want)
	}

	l = newLeader(t, func(c *Config) { c.MaxAge = time.Minute })
	w := l.worker("a", 1, "hash")
	finish(l, w, 2)
	l.pass(30 * time.Second)
	finish(l, w, 1)
	l.pass(30 * time.Second)
	if got, want := kept(l), []uint64{1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("a minute old: kept %v, want %v", got, want)
	}
	l.pass(time.Second)
	if got, want := kept(l), []uint64{3}; !slices.Equal(got, want) {
		t.Errorf("older than a minute: kept %v, want %v", got, want)
	}

	l = newLeader(t, func(c *Config) { c.MaxBytes = 20 })
	finish(l, l.worker("a", 1, "hash"), 4)
	l.pass(time.Second)
	if got, want := kept(l), []uint64{3, 4}; !slices.Equal(got, want) {
		t.Errorf("20 bytes: kept %v, want %v", got, want)
	}
	conserve(t, l.m)
	if got := l.m.Forgotten(); got != 2 {
		t.Errorf("forgotten: got %d, want 2", got)
	}
}

func TestWhatIsOnItsWayToBeForgottenIsNotForgottenTwice(t *testing.T) {
	l := newLeader(t, func(c *Config) { c.MaxFinished = 2 })
	w := l.worker("a", 1, "hash")
	for range 5 {
		l.submit(Spec{})
		w.finish(w.one())
	}
	l.step(l.s.Tick)
	l.step(l.s.Tick) // the first is not durable yet
	l.commit()
	if got := l.m.Forgotten(); got != 3 {
		t.Errorf("forgotten: got %d, want 3", got)
	}
	l.pass(time.Second)
	if got := l.m.Forgotten(); got != 3 {
		t.Errorf("forgotten a moment later: got %d, want 3", got)
	}
}

func TestForgettingKeepsUpWithAnyRate(t *testing.T) {
	l := newLeader(t, func(c *Config) { c.MaxFinished = 100 })
	const rate = 50_000 // a second
	for range 2 {
		id := l.m.LastID()
		for i := range rate {
			l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})}, &Cancel{At: At(l.now), Task: id + 1 + uint64(i)})
			if i%100 == 0 {
				l.commit()
			}
		}
		l.commit()
		l.pass(time.Second)
		if got := l.m.tasks.count; got > 100+maxForget {
			t.Errorf("%d terminal tasks are kept, want about 100", got)
		}
	}
}

func TestMemoryOfCancelledTasksIsGivenBackWhileNoWorkerComes(t *testing.T) {
	l := newLeader(t, func(c *Config) { c.MaxFinished = 0 })
	stays := l.submit(Spec{})
	payload := strings.Repeat("x", 1000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 10 {
		from := l.m.LastID() + 1
		for range 5000 {
			l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{Payload: payload})})
		}
		l.commit()
		for id := from; id <= l.m.LastID(); id++ {
			l.propose(&Cancel{At: At(l.now), Task: id})
		}
		l.commit()
		l.pass(time.Second)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 30<<20 {
		t.Errorf("after 50,000 cancelled tasks of 1 kB: %d MiB more", grown>>20)
	}
	if held := l.s.queues["hash"].held; held > 3000 {
		t.Errorf("the queue holds %d tasks, want one and fewer than 3,000 dead", held)
	}
	l.expect(Queued, stays)
	w := l.worker("a", 1, "hash")
	w.finish(w.one())
	l.idle()
}

func TestNoMoreTypesBecomeKnownThanAllowed(t *testing.T) {
	l := newLeader(t, func(c *Config) { c.MaxTypes = 4 })
	for i, typ := range []string{"a", "b", "c", "d", "e"} {
		l.worker(typ, 1, typ)
		if want := i < 4; l.m.Known(typ) != want {
			t.Errorf("type number %d: known %v, want %v", i+1, l.m.Known(typ), want)
		}
	}
	l.do(func() {
		l.s.SetWorker(WorkerInfo{ID: "x", LeaseID: "x", Types: []string{"f", "g"}, Capacity: 1, State: WorkerActive})
	})
	if got := len(l.m.KnownTypes()); got != 4 {
		t.Errorf("known types: %d, want 4", got)
	}
}

func TestWakeTellsWhenAWorkerThatRefusedMayBeAskedAgain(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	l.submit(Spec{AttemptTimeout: time.Hour})
	w.refuse(w.one())
	if due, ok := l.s.Wake(); !ok || !due.Equal(start.Add(refusalPause)) {
		t.Errorf("got %v, %v; want in %v", due, ok, refusalPause)
	}
	l.pass(refusalPause)
	w.finish(w.one())
	l.idle()
}

func TestWakeTellsTheEarliestDeadline(t *testing.T) {
	l := newLeader(t)
	if _, ok := l.s.Wake(); ok {
		t.Error("nothing is going on, and something is due")
	}
	w := l.worker("a", 2, "hash")
	l.submit(Spec{AttemptTimeout: time.Hour})
	l.submit(Spec{AttemptTimeout: time.Minute})
	w.heard(Assign)
	if due, ok := l.s.Wake(); !ok || !due.Equal(start.Add(time.Minute)) {
		t.Errorf("got %v, %v; want in a minute", due, ok)
	}
}
