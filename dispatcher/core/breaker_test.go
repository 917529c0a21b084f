package core

import (
	"testing"
	"time"
)

// timeOut hands n tasks to a worker, one after the other, and lets each pass its deadline.
func timeOut(w *fakeWorker, n int) (ids []uint64) {
	w.Helper()
	for range n {
		ids = append(ids, w.submit(Spec{AttemptTimeout: 100 * time.Millisecond, MaxAttempts: 1}))
		m := w.one()
		w.pass(100 * time.Millisecond)
		w.refuse(m)
	}
	return ids
}

// breaker checks where a worker's breaker stands, and that the events tell of it.
func (w *fakeWorker) breaker(want BreakerState) {
	w.Helper()
	for _, v := range w.s.Workers() {
		if v.Info.ID == w.info.ID && v.Breaker != want {
			w.Errorf("breaker of %s: got %v, want %v", w.info.ID, v.Breaker, want)
		}
	}
}

func TestAnOpenBreakerKeepsTasksAwayAndAProbeClosesIt(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 3, "hash")
	timeOut(w, breakerFaults)
	w.breaker(BreakerOpen)
	first, second := l.submit(Spec{}), l.submit(Spec{})
	l.pass(breakerPause - time.Second)
	w.none("whose breaker is open")
	l.pass(time.Second + time.Second/2)
	w.breaker(BreakerHalfOpen)
	probe := w.one()
	if probe.Task != first {
		t.Errorf("the probe is task %d, want %d", probe.Task, first)
	}
	l.pass(5 * time.Second)
	w.none("which is being probed")
	w.finish(probe)
	w.breaker(BreakerClosed)
	w.finish(w.one())
	l.expect(Completed, first, second)
	l.idle()
	if n := l.breakers["a"].refused; n != 0 {
		t.Errorf("the breaker was asked %d times in vain; each pauses the worker", n)
	}
	var told []string
	events, _ := l.m.Events(0, 1000, nil)
	for _, e := range events {
		if e.Aspect == "breaker" {
			told = append(told, e.Before+">"+e.After)
		}
	}
	if len(told) != 3 || told[0] != "closed>open" || told[1] != "open>half-open" || told[2] != "half-open>closed" {
		t.Errorf("events: got %q", told)
	}
}

func TestAProbeThatFailsOpensTheBreakerAgain(t *testing.T) {
	for what, fail := range map[string]func(w *fakeWorker, m Message){
		"deadline":      func(w *fakeWorker, m Message) { w.pass(m.Timeout) },
		"stream broke":  func(w *fakeWorker, m Message) { w.hang("cut"); w.hello(0, nil, nil) },
		"went offline":  func(w *fakeWorker, m Message) { w.state(WorkerOffline); w.state(WorkerActive) },
		"another began": func(w *fakeWorker, m Message) { w.hello(0, []Held{{m.Task, m.Token, false}}, nil) },
	} {
		l := newLeader(t)
		w := l.worker("a", 3, "hash")
		timeOut(w, breakerFaults)
		l.pass(breakerPause)
		l.submit(Spec{AttemptTimeout: time.Second})
		l.pass(time.Second / 2)
		fail(w, w.one())
		w.breaker(BreakerOpen)
		l.submit(Spec{})
		l.pass(time.Second)
		w.none(what + ", whose breaker is open")
	}
}

func TestErrorsOfTasksDoNotOpenTheBreaker(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	for range 4 * breakerFaults {
		for _, how := range []Ending{EndRetryable, EndPermanent, EndInvalidPayload} {
			l.submit(Spec{MaxAttempts: 1})
			w.end(w.one(), how, "the task's own")
		}
		l.submit(Spec{})
		m := w.one()
		w.refuse(m)
		l.pass(time.Second)
		l.cancel(m.Task)
		w.refuse(w.one())
	}
	w.breaker(BreakerClosed)
	l.idle()
}

func TestLosingAStreamIsOneFaultHoweverMuchWasOnIt(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 20, "hash")
	for range 5 {
		l.submit(Spec{})
	}
	cancelled := make([]uint64, 0, 5)
	for range 5 {
		cancelled = append(cancelled, l.submit(Spec{}))
	}
	for _, id := range cancelled {
		l.cancel(id) // the worker has not answered that it stopped
	}
	w.hang("cut")
	w.breaker(BreakerClosed)
	for range breakerFaults - 1 {
		w.hello(0, nil, nil)
		w.hang("cut")
	}
	w.breaker(BreakerOpen)
}

func TestAWorkerThatCannotBeReachedOpensItsBreaker(t *testing.T) {
	l := newLeader(t)
	w := &fakeWorker{leader: l, info: WorkerInfo{ID: "a", LeaseID: "1", Types: []string{"hash"}, Capacity: 1, State: WorkerActive}}
	w.register()
	for range breakerFaults {
		w.breaker(BreakerClosed)
		l.do(func() { l.s.Unreachable("a", "1", "connection refused") })
	}
	w.breaker(BreakerOpen)
	if got := l.s.Workers()[0].LinkError; got != "connection refused" {
		t.Errorf("why there is no stream: got %q", got)
	}
	l.do(func() { l.s.Unreachable("a", "an old lease", "x"); l.s.Unreachable("nobody", "1", "x") })
}

func TestAProbeThatIsCancelledCountsWhenItsWorkerAnswers(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 3, "hash")
	timeOut(w, breakerFaults)
	l.pass(breakerPause)
	id := l.submit(Spec{})
	l.pass(time.Second / 2)
	probe := w.one()
	l.cancel(id)
	w.breaker(BreakerHalfOpen)
	w.refuse(probe)
	w.breaker(BreakerClosed)
	l.idle()
}

func TestAProbeThatIsCancelledAndNeverAnsweredFailsAtItsDeadline(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 3, "hash")
	timeOut(w, breakerFaults)
	l.pass(breakerPause)
	id := l.submit(Spec{AttemptTimeout: 10 * time.Second})
	l.pass(time.Second / 2)
	w.one()
	l.cancel(id)
	l.pass(10 * time.Second)
	w.breaker(BreakerOpen)
	l.pass(breakerPause)
	l.submit(Spec{})
	l.pass(time.Second)
	w.one() // another probe
}

func TestAnOldAttemptThatEndsDoesNotHideTheProbe(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 10, "hash")
	l.submit(Spec{AttemptTimeout: time.Hour})
	old := w.one()
	timeOut(w, breakerFaults)
	l.pass(breakerPause)
	l.submit(Spec{AttemptTimeout: time.Hour})
	l.pass(time.Second / 2)
	probe := w.one()
	w.finish(old)
	if l.s.workers["a"].probe == nil {
		t.Error("the probe is under way, and another attempt's end says it is not")
	}
	l.submit(Spec{})
	w.none("which is being probed")
	w.finish(probe)
	w.finish(w.one())
	l.idle()
}
