package core

import (
	"testing"
	"time"
)

// awoken is a grid whose leader stood still while a worker ran two tasks, 1 of which had begun; 3 was queued.
func awoken(t *testing.T, pause time.Duration) (*leader, *fakeWorker, []Message) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	for range 3 {
		l.submit(Spec{})
	}
	held := w.heard(Assign)
	w.begin(held[0])
	l.now = l.now.Add(pause)
	l.do(l.s.Woke)
	return l, w, held
}

func TestAfterAPauseWorkersThatHungUpComeBackWithWhatTheyRun(t *testing.T) {
	l, w, held := awoken(t, 20*time.Second)
	w.hang("keepalive failed")
	l.expect(Processing, 1)
	l.expect(Dispatched, 2)
	if err := l.s.Check(); err != nil {
		t.Error(err)
	}
	w.hello(0, []Held{{2, held[1].Token, true}}, []Outcome{{Task: 1, Token: held[0].Token, How: EndResult, Text: "done"}})
	w.end(held[1], EndResult, "done")
	w.finish(w.one())
	l.expect(Completed, 1, 2, 3)
	for id := uint64(1); id <= 2; id++ {
		if got := l.m.Task(id); got.Attempts != 1 || got.Redeliveries != 0 {
			t.Errorf("task %d: %d attempts, %d redeliveries; want 1 and 0", id, got.Attempts, got.Redeliveries)
		}
	}
	if faults := l.breakers["a"].faults; faults != 0 {
		t.Errorf("the worker's breaker counts %d faults; the pause was not the worker's", faults)
	}
	l.idle()
}

func TestAfterAPauseWhatItsWorkerDoesNotNameIsLost(t *testing.T) {
	l, w, held := awoken(t, 20*time.Second)
	w.hang("keepalive failed")
	w.hello(0, []Held{{1, held[0].Token, true}}, nil)
	l.expect(Processing, 1)
	l.expect(Retrying, 2)
}

func TestAfterAPauseAWorkerThatDoesNotComeBackHasLostItsAttempts(t *testing.T) {
	l, w, _ := awoken(t, 20*time.Second)
	w.hang("connection reset")
	l.pass(9 * time.Second)
	l.expect(Processing, 1)
	l.pass(time.Second)
	l.expect(Retrying, 1, 2)
}

func TestAStreamThatBreaksWhenAPauseIsLongOverLosesItsAttemptsAtOnce(t *testing.T) {
	l, w, _ := awoken(t, 20*time.Second)
	l.pass(time.Second)
	w.hang("connection reset")
	l.expect(Retrying, 1, 2)
}

func TestAfterAPauseAProbeGoesOn(t *testing.T) {
	for what, tt := range map[string]struct {
		back func(w *fakeWorker, probe Message)
		want BreakerState
	}{
		"its worker comes back with it": {func(w *fakeWorker, probe Message) {
			w.hello(0, []Held{{probe.Task, probe.Token, true}}, nil)
			w.breaker(BreakerHalfOpen)
			w.end(probe, EndResult, "done")
		}, BreakerClosed},
		"its worker comes back without it": {func(w *fakeWorker, _ Message) { w.hello(0, nil, nil) }, BreakerOpen},
		"its worker does not come back":    {func(w *fakeWorker, _ Message) { w.pass(w.cfg.AdoptGrace) }, BreakerOpen},
		"it is cancelled":                  {func(w *fakeWorker, probe Message) { w.cancel(probe.Task) }, BreakerOpen},
	} {
		l := newLeader(t)
		w := l.worker("a", 3, "hash")
		timeOut(w, breakerFaults)
		l.pass(breakerPause)
		l.submit(Spec{AttemptTimeout: time.Hour})
		l.pass(time.Second / 2)
		probe := w.one()
		l.now = l.now.Add(20 * time.Second)
		l.do(l.s.Woke)
		w.hang("keepalive failed")
		w.breaker(BreakerHalfOpen)
		tt.back(w, probe)
		if got := l.s.Workers()[0].Breaker; got != tt.want {
			t.Errorf("%s: the breaker is %v, want %v", what, got, tt.want)
		}
		if l.s.workers["a"].probe != nil {
			t.Errorf("%s: the probe is over, and the worker still has it", what)
		}
	}
}

func TestAnOutcomeThatCameDuringAPauseIsReadBeforeItsDeadlineCounts(t *testing.T) {
	l, w, held := awoken(t, 2*time.Minute) // with an attempt timeout of one
	l.do(l.s.Tick)
	l.expect(Processing, 1)
	w.end(held[0], EndResult, "done")
	l.expect(Completed, 1)
	l.expect(Dispatched, 2)
	l.pass(time.Second)
	l.expect(Retrying, 2)
	if got := l.m.Task(2); got.Attempts != 1 || got.Redeliveries != 0 {
		t.Errorf("task 2: %d attempts, %d redeliveries; want a timeout, which spends an attempt", got.Attempts, got.Redeliveries)
	}
}
