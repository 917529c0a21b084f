package core

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsOddAboutAnAnswerIsSaidAndCounted(t *testing.T) {
	l := newLeader(t)
	w, other := l.worker("a", 2, "hash"), l.worker("b", 2, "sum")
	l.submit(Spec{})
	m := w.one()
	says := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: odd %q, want %q", what, got, want)
		}
	}
	l.do(func() {
		s := l.s
		says("outcome of no task", w.answer(Message{Task: 99, Token: 1}, EndResult, "", 0), OddUnknownTask)
		says("outcome with another token", w.answer(Message{Task: 1, Token: m.Token + 1}, EndResult, "forged", 0), OddStale)
		says("outcome from another worker", other.answer(m, EndResult, "forged", 0), OddForeign)
		says("refused by another worker", s.Refused(other.link, 1, m.Token, "forged"), OddForeign)
		says("started by another worker", s.Started(other.link, 1, m.Token), OddForeign)
		says("on a stream that does not exist", s.Started(99, 1, m.Token), OddForeign)
		says("started", s.Started(w.link, 1, m.Token), "")
		says("started twice", s.Started(w.link, 1, m.Token), OddDuplicate)
		says("progress", s.Progress(w.link, 1, m.Token, 0.5), "")
		for _, share := range []float32{-0.1, 1.1, float32(math.NaN()), float32(math.Inf(1))} {
			says("nonsense progress", s.Progress(w.link, 1, m.Token, share), OddMalformed)
		}
	})
	if got := l.s.Share(1); got != 0.5 {
		t.Errorf("share: got %v, want the last one that made sense", got)
	}
	l.do(func() {
		says("outcome", w.answer(m, EndResult, "right", 0), "")
		says("outcome twice, not durable yet", w.answer(m, EndResult, "again", 0), OddDuplicate)
	})
	says("outcome twice", w.end(m, EndResult, "again"), OddDuplicate)
	says("refused after the outcome", w.refuse(m), OddDuplicate)
	says("started after the outcome", func() string { return l.s.Started(w.link, 1, m.Token) }(), OddDuplicate)
	l.submit(Spec{})
	says("outcome without started", w.end(w.one(), EndResult, "right"), OddBeforeStarted)
	l.expect(Completed, 1, 2)
	want := map[string]uint64{OddUnknownTask: 1, OddStale: 1, OddForeign: 4, OddDuplicate: 5, OddMalformed: 4, OddBeforeStarted: 1}
	if diff := cmp.Diff(want, l.s.Oddities()); diff != "" {
		t.Errorf("oddities (-want +got)\n%s", diff)
	}
	for _, id := range []uint64{1, 2} {
		if got := l.m.Task(id).Result; got != "right" {
			t.Errorf("task %d: result %q", id, got)
		}
	}
	l.idle()
}

func TestAnOutcomeBeforeStartedStillPassesThroughProcessing(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	w.end(w.one(), EndResult, "fast")
	var states []State
	for _, s := range l.m.Task(id).History() {
		states = append(states, s.To)
	}
	if diff := cmp.Diff([]State{Created, Queued, Dispatched, Processing, Completed}, states); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a worker tells in one message about a short task takes one record, and leads to the same as two. Where the outcome
// does not say by itself that the handler had begun, the record that says so comes first.
func TestStartAndOutcomeInOneMessage(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w *fakeWorker, m Message)
		kinds  []kind
		states []State
	}{
		"a result": {
			func(w *fakeWorker, m Message) { w.answer(m, EndResult, "fast", 0) },
			[]kind{kindEnd}, []State{Processing, Completed},
		},
		"an error": {
			func(w *fakeWorker, m Message) { w.answer(m, EndRetryable, "busy", 0) },
			[]kind{kindEnd}, []State{Processing, Retrying},
		},
		"an error after the deadline": {
			func(w *fakeWorker, m Message) {
				w.s.Begin(w.now.Add(time.Hour))
				w.answer(m, EndRetryable, "late", 0)
			},
			[]kind{kindStart, kindEnd}, []State{Processing, Timeout, Retrying},
		},
		"handed back": {
			func(w *fakeWorker, m Message) { w.s.Refused(w.link, m.Task, m.Token, "ends") },
			[]kind{kindStart, kindEnd}, []State{Processing, Retrying},
		},
		"the stream breaks": {
			func(w *fakeWorker, _ Message) { w.s.Disconnect(w.link, "gone", true) },
			[]kind{kindStart, kindEnd}, []State{Processing, Retrying},
		},
		"no outcome yet": {
			func(*fakeWorker, Message) {},
			[]kind{kindStart}, []State{Processing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeader(t)
			w := l.worker("a", 1, "hash")
			id := l.submit(Spec{AttemptTimeout: time.Minute})
			m := w.one()
			l.step(func() {
				if odd := l.s.Started(w.link, m.Task, m.Token); odd != "" {
					t.Errorf("odd: %s", odd)
				}
				c.answer(w, m)
			})
			var kinds []kind
			for _, rec := range l.journal {
				if k := kind(rec[0]); k == kindStart || k == kindEnd {
					kinds = append(kinds, k)
				}
			}
			if diff := cmp.Diff(c.kinds, kinds); diff != "" {
				t.Errorf("records (-want +got)\n%s", diff)
			}
			l.commit()
			var states []State
			for _, s := range l.m.Task(id).History()[3:] {
				states = append(states, s.To)
			}
			if diff := cmp.Diff(c.states, states); diff != "" {
				t.Errorf("states (-want +got)\n%s", diff)
			}
		})
	}
}

func TestALateOutcomeAfterATimeoutIsDroppedAndFreesTheSlot(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{AttemptTimeout: time.Second})
	m := w.one()
	w.begin(m)
	l.pass(time.Second)
	if stops := w.heard(Stop); len(stops) != 1 {
		t.Errorf("got %v, want to be told to stop", stops)
	}
	l.expect(Retrying, id)
	l.pass(time.Minute)
	w.none("which has not answered")
	if odd := w.end(m, EndResult, "late"); odd != OddStale {
		t.Errorf("odd %q, want %q", odd, OddStale)
	}
	w.finish(w.one())
	if got := l.m.Task(id); got.Result != "done" || got.Attempts != 2 {
		t.Errorf("got %q after %d attempts; want that of the second", got.Result, got.Attempts)
	}
	l.idle()
}

func TestARefusalLeavesTheWorkerAloneForAMomentUnlessASlotIsFreed(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	l.submit(Spec{})
	first := w.one()
	id := l.submit(Spec{})
	w.refuse(w.one())
	l.expect(Queued, id)
	w.none("which has just refused")
	w.finish(first)
	w.refuse(w.one()) // offered at once: a slot was freed
	l.pass(refusalPause - time.Millisecond)
	w.none("which has just refused")
	l.pass(time.Second / 2)
	w.finish(w.one())
	l.expect(Completed, id)
	if got := l.m.Task(id); got.Attempts != 1 || got.Redeliveries != 0 || got.Attempt.Number() != 3 {
		t.Errorf("got %d attempts, %d redeliveries in %d hand-overs; want 1, 0, 3", got.Attempts, got.Redeliveries, got.Attempt.Number())
	}
}

func TestWorkersAreCountedByWhatTheyDid(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 4, "hash")
	for range 3 {
		l.submit(Spec{AttemptTimeout: time.Second})
	}
	got := w.heard(Assign)
	w.end(got[0], EndResult, "")
	w.end(got[1], EndPermanent, "")
	view := l.s.Workers()[0]
	if view.Completed != 1 || view.Failed != 1 || view.Running != 1 || !view.Connected {
		t.Errorf("got %+v; want 1 completed, 1 failed, 1 running", view)
	}
	l.pass(time.Second)
	if view = l.s.Workers()[0]; view.Failed != 2 || view.Running != 0 {
		t.Errorf("after a timeout: got %+v; want 2 failed, none running", view)
	}
}
