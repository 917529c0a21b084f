package core

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestABrokenStreamGivesUpItsAttemptsAtOnce(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	began, waited := l.submit(Spec{}), l.submit(Spec{})
	w.begin(w.heard(Assign)[0])
	w.hang("connection reset")
	l.expect(Retrying, began, waited)
	for _, id := range []uint64{began, waited} {
		if got := l.m.Task(id); got.Attempts != 0 || got.Redeliveries != 1 || got.Error != "the stream to worker a broke: connection reset" {
			t.Errorf("task %d: %d attempts, %d redeliveries, error %q", id, got.Attempts, got.Redeliveries, got.Error)
		}
	}
	l.pass(time.Minute)
	l.expect(Queued, began, waited)
	w.hello(0, nil, nil)
	for _, m := range w.heard(Assign) {
		w.finish(m)
	}
	l.expect(Completed, began, waited)
	l.idle()
}

func TestWhatAWorkerHadIsGivenUpInTheOrderOfTheTasks(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 50, "hash")
	for range 50 {
		l.submit(Spec{})
	}
	first := l.m.LastEvent()
	w.hang("cut")
	last := uint64(0)
	events, _ := l.m.Events(first, 1000, nil)
	for _, e := range events {
		if e.TaskID != 0 && e.TaskID < last {
			t.Fatalf("task %d after task %d", e.TaskID, last)
		}
		last = max(last, e.TaskID)
	}
	if last != 50 {
		t.Errorf("given up: up to task %d, want 50", last)
	}
}

func TestAnOldStreamsAnswersAreForeign(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	old := w.link
	w.hello(0, nil, nil) // replaces the stream, without what was on it
	l.expect(Retrying, id)
	l.do(func() {
		for what, odd := range map[string]string{
			"started":  l.s.Started(old, m.Task, m.Token),
			"progress": l.s.Progress(old, m.Task, m.Token, 0.5),
			"outcome":  l.s.Outcome(old, Outcome{Task: m.Task, Token: m.Token, How: EndResult}),
			"refused":  l.s.Refused(old, m.Task, m.Token, "full"),
		} {
			if odd != OddForeign {
				t.Errorf("%s on the old stream: odd %q, want %q", what, odd, OddForeign)
			}
		}
	})
	l.do(func() { l.s.Disconnect(old, "late", true) })
	l.expect(Retrying, id)
	if !l.s.Workers()[0].Connected {
		t.Error("the end of the old stream ended the new one")
	}
	l.pass(time.Second)
	w.finish(w.one())
	l.expect(Completed, id)
}

func TestWhatAWorkerStillRunsAfterAStreamBrokeIsStoppedAndHoldsItsSlot(t *testing.T) {
	// Whether the loss is durable or not when the worker is back.
	for _, durable := range []bool{false, true} {
		for what, reconnect := range map[string]func(w *fakeWorker){
			"broke":    func(w *fakeWorker) { w.s.Disconnect(w.link, "cut", true) },
			"replaced": func(*fakeWorker) {},
		} {
			l := newLeader(t)
			w := l.worker("a", 1, "hash")
			id := l.submit(Spec{})
			m := w.one()
			w.begin(m)
			l.step(func() { reconnect(w) })
			if durable {
				l.commit()
			}
			l.step(func() { w.link, _ = l.s.Connect("a", "lease-a", 0, []Held{{m.Task, m.Token, true}}, nil) })
			l.commit()
			l.expect(Retrying, id)
			stops := w.heard(Stop)
			if len(stops) != 1 || stops[0].Token != m.Token {
				t.Errorf("%s, durable %v: got %v, want to be told to stop", what, durable, stops)
			}
			l.pass(time.Minute)
			w.none("whose only slot is taken")
			w.end(m, EndResult, "late")
			if got := w.heard(Acknowledge); len(got) != 1 {
				t.Errorf("%s, durable %v: the late result got %v, want one acknowledgement", what, durable, got)
			}
			w.finish(w.one())
			l.expect(Completed, id)
			l.idle()
		}
	}
}

func TestHelloThatNamesAnAttemptTwiceTakesOneSlot(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	h := Held{7, 9, true}
	w.hello(0, []Held{h, h}, nil)
	l.submit(Spec{})
	first := w.one()
	w.refuse(Message{Task: 7, Token: 9})
	w.finish(first)
	l.idle()
}

func TestAStreamToAnotherProcessIsRefused(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	for _, who := range [][2]string{{"a", "another lease"}, {"b", "lease-a"}} {
		l.do(func() {
			if link, err := l.s.Connect(who[0], who[1], 0, nil, nil); err == nil || link != 0 {
				t.Errorf("%v: connected as %d, error %v", who, link, err)
			}
		})
	}
	l.submit(Spec{})
	w.one()
}

func TestACancelledAttemptIsStoppedAndKeepsItsSlotUntilTheWorkerAnswers(t *testing.T) {
	for what, answer := range map[string]func(w *fakeWorker, m Message){
		"hands it back": func(w *fakeWorker, m Message) {
			if odd := w.refuse(m); odd != "" {
				w.Errorf("an answer that was asked for is odd: %s", odd)
			}
		},
		"finished all the same": func(w *fakeWorker, m Message) { w.end(m, EndResult, "late") },
		"breaks off":            func(w *fakeWorker, m Message) { w.hang("cut"); w.hello(0, nil, nil) },
	} {
		l := newLeader(t)
		w := l.worker("a", 1, "hash")
		id, next := l.submit(Spec{}), l.submit(Spec{})
		m := w.one()
		w.begin(m)
		l.cancel(id)
		l.expect(Cancelled, id)
		want := []Message{{Kind: Stop, Task: m.Task, Token: m.Token}}
		if diff := cmp.Diff(want, w.heard(Stop)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", what, diff)
		}
		l.pass(time.Minute)
		w.none("which has not said that the slot is free")
		answer(w, m)
		l.expect(Cancelled, id)
		got := w.one()
		if got.Task != next {
			t.Errorf("%s: got task %d, want %d", what, got.Task, next)
		}
		w.finish(got)
		l.idle()
	}
}

func TestACancelOvertakesAHandOverThatIsNotDurable(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})}, &Cancel{At: At(l.now), Task: 2})
	l.commit() // 1 is handed over
	m := w.one()
	w.finish(m)
	l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})})
	batch := l.journal
	l.journal = nil
	l.s.Begin(l.now)
	l.m.Apply(batch[0])
	l.propose(&Cancel{At: At(l.now), Task: 2}) // before the scheduler has been asked
	l.flush()
	l.commit()
	l.expect(Cancelled, 2)
	late := w.one()
	if stops := w.heard(Stop); len(stops) != 1 || stops[0].Token != late.Token {
		t.Errorf("got %v, want to be told to stop what was handed over meanwhile", stops)
	}
	w.refuse(late)
	l.expect(Cancelled, 2)
	l.idle()
}

func TestACancelAfterTheOutcomeButBeforeItIsDurableWins(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	w.begin(m)
	l.propose(&Cancel{At: At(l.now), Task: id, Reason: "first in the journal"})
	l.step(func() { w.answer(m, EndResult, "late", time.Second) })
	l.commit()
	l.expect(Cancelled, id)
	if got := w.heard(Acknowledge); len(got) != 1 {
		t.Errorf("got %v, want the outcome to be acknowledged: it is no longer wanted", got)
	}
	l.idle()
}

func TestAnOutcomeIsAcknowledgedWhenItIsDurableAndNotBefore(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	l.step(func() { l.s.Started(w.link, m.Task, m.Token) })
	l.step(func() { w.answer(m, EndResult, "right", time.Second) })
	l.step(func() { w.answer(m, EndResult, "again", time.Second) })
	if got := w.heard(Acknowledge); len(got) != 0 {
		t.Errorf("acknowledged before it was durable: %v", got)
	}
	l.commit()
	if got := w.heard(Acknowledge); len(got) != 1 || got[0].Token != m.Token {
		t.Errorf("acknowledged: got %v, want once", got)
	}
	if got := l.m.Task(id).Result; got != "right" {
		t.Errorf("result: got %q", got)
	}
}

func TestTheOutboxIsTakenInOrderAndOnlyOnce(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 3, "hash")
	l.submit(Spec{})
	l.submit(Spec{})
	if got, want := ids(w.heard(Assign)), []uint64{1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if rest := l.s.Outbox(w.link, nil); len(rest) != 0 {
		t.Errorf("taken twice: %v", rest)
	}
	if got := l.s.Outbox(w.link+1, nil); got != nil {
		t.Errorf("a stream that does not exist has %v", got)
	}
}
