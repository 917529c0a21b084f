package core

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// adopted is a grid whose leader was lost while a worker ran tasks: 1 began, 2 waited for a slot, 3 was queued.
func adopted(t *testing.T, away time.Duration, opts ...func(*Config)) (*leader, *fakeWorker, []Message) {
	l := newLeader(t, opts...)
	w := l.worker("a", 2, "hash")
	l.submit(Spec{})
	l.submit(Spec{})
	l.submit(Spec{})
	held := w.heard(Assign)
	w.begin(held[0])
	l.restart(away)
	return l, w, held
}

func TestRunningAttemptsThatTheWorkerNamesGoOnUnderTheirToken(t *testing.T) {
	l, w, held := adopted(t, 5*time.Second)
	l.expect(Processing, 1)
	l.expect(Dispatched, 2)
	w.register()
	w.hello(0, []Held{{1, held[0].Token, true}, {2, held[1].Token, false}}, nil)
	if stops := w.heard(Stop); len(stops) != 0 {
		t.Errorf("told to stop %v", ids(stops))
	}
	w.none("whose slots are taken by what it had")
	w.end(held[0], EndResult, "first")
	w.finish(held[1])
	w.finish(w.one())
	l.expect(Completed, 1, 2, 3)
	for id := uint64(1); id <= 2; id++ {
		got := l.m.Task(id)
		if got.Attempt.Number() != 1 || got.Attempt.Term() != 1 || got.Attempts != 1 || got.Redeliveries != 0 {
			t.Errorf("task %d: got token %x, %d attempts, %d redeliveries; want the first attempt of term 1", id, uint64(got.Attempt), got.Attempts, got.Redeliveries)
		}
	}
	if got := l.m.Task(1).Duration; got < 5*time.Second {
		t.Errorf("task 1 took %v, want the time since its hand-over", got)
	}
	l.idle()
}

func TestAnOutcomeOfferedAgainCountsOnce(t *testing.T) {
	l, w, held := adopted(t, 5*time.Second)
	offer := []Outcome{{Task: 1, Token: held[0].Token, How: EndResult, Text: "right"}}
	w.register()
	w.hello(0, []Held{{2, held[1].Token, false}}, append(offer, offer...))
	l.expect(Completed, 1)
	if got := w.heard(Acknowledge); len(got) == 0 {
		t.Error("not acknowledged")
	}
	w.hello(0, []Held{{2, held[1].Token, false}}, []Outcome{{Task: 1, Token: held[0].Token, How: EndResult, Text: "wrong"}})
	if got := w.heard(Acknowledge); len(got) != 1 {
		t.Errorf("offered after it is durable: acknowledged %d times, want once", len(got))
	}
	if got := l.m.Task(1); got.Result != "right" || got.Attempts != 1 {
		t.Errorf("got %q after %d attempts", got.Result, got.Attempts)
	}
}

func TestAnOutcomeWhoseRecordWasLostIsOfferedAgain(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	id := l.submit(Spec{})
	m := w.one()
	l.step(func() { l.s.Started(w.link, m.Task, m.Token) })
	l.step(func() { w.answer(m, EndResult, "right", time.Second) }) // and the leader is lost
	l.restart(time.Second)
	l.expect(Dispatched, id)
	w.register()
	w.hello(0, nil, []Outcome{{Task: m.Task, Token: m.Token, How: EndResult, Text: "right"}})
	l.expect(Completed, id)
	l.idle()
}

func TestAnAttemptWhoseHandOverWasLostIsStopped(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})})
	rec := l.journal[0]
	l.journal = nil
	l.m.Apply(rec)
	l.flush() // the assignment is sent, its record is not durable
	lost := w.one()
	l.restart(time.Second)
	l.expect(Queued, lost.Task)
	w.register()
	w.hello(0, []Held{{lost.Task, lost.Token, true}}, nil)
	if stops := w.heard(Stop); len(stops) != 1 {
		t.Errorf("got %v, want to be told to stop", stops)
	}
	w.none("whose only slot is taken")
	w.end(lost, EndResult, "of the lost hand-over")
	l.expect(Dispatched, lost.Task)
	w.finish(w.one())
	if got := l.m.Task(lost.Task); got.Result != "done" || got.Attempt.Term() != 2 {
		t.Errorf("got %q of term %d", got.Result, got.Attempt.Term())
	}
}

func TestAnAttemptThatItsWorkerDoesNotNameIsLostAtOnce(t *testing.T) {
	l, w, held := adopted(t, time.Second)
	w.register()
	w.hello(0, []Held{{1, held[0].Token, true}}, nil)
	l.expect(Processing, 1)
	l.expect(Retrying, 2)
	if got := l.m.Task(2); !strings.Contains(got.Error, "without it") || got.Redeliveries != 1 {
		t.Errorf("error %q, %d redeliveries", got.Error, got.Redeliveries)
	}
}

func TestAWorkerThatWasRestartedMeanwhileHasLostItsAttempts(t *testing.T) {
	l, w, _ := adopted(t, time.Second)
	w.info.LeaseID = "lease-a-2"
	w.register()
	l.expect(Retrying, 1, 2)
	if got := l.m.Task(1).Error; got != "worker a was restarted" {
		t.Errorf("error: got %q", got)
	}
}

func TestAWorkerThatIsGoneMeanwhileHasLostItsAttempts(t *testing.T) {
	l, _, _ := adopted(t, time.Second)
	l.do(func() { l.s.RemoveWorker("a") })
	l.expect(Retrying, 1, 2)
}

func TestAttemptsWhoseWorkerDoesNotComeBackAreLostAfterTheGrace(t *testing.T) {
	l, w, _ := adopted(t, time.Second)
	w.register() // the name service knows it, and no stream can be opened
	l.pass(9 * time.Second)
	l.expect(Processing, 1)
	l.expect(Dispatched, 2)
	l.pass(time.Second)
	l.expect(Retrying, 1, 2)
	if got := l.m.Task(1); !strings.Contains(got.Error, "10s") || got.Redeliveries != 1 || got.Attempts != 0 {
		t.Errorf("error %q, %d attempts, %d redeliveries", got.Error, got.Attempts, got.Redeliveries)
	}
}

func TestAnAdoptedAttemptKeepsItsDeadline(t *testing.T) {
	l, w, held := adopted(t, 30*time.Second)
	w.register()
	w.hello(0, []Held{{1, held[0].Token, true}, {2, held[1].Token, false}}, nil)
	l.pass(29 * time.Second)
	l.expect(Processing, 1)
	l.pass(time.Second)
	l.expect(Retrying, 1)
	if got := l.m.Task(1); got.Attempts != 1 || got.Redeliveries != 0 {
		t.Errorf("got %d attempts, %d redeliveries; want a timeout, which spends an attempt", got.Attempts, got.Redeliveries)
	}
	if stops := w.heard(Stop); len(stops) != 2 {
		t.Errorf("told to stop %v, want both", ids(stops))
	}
}

func TestAResultThatWasReadyWhileNobodyLedCountsThoughTheDeadlinePassed(t *testing.T) {
	l, w, held := adopted(t, 2*time.Minute) // with an attempt timeout of one
	l.do(l.s.Tick)
	l.pass(time.Second)
	l.expect(Processing, 1)
	w.register()
	w.hello(0, []Held{{2, held[1].Token, true}}, []Outcome{{Task: 1, Token: held[0].Token, How: EndResult, Text: "right"}})
	l.expect(Completed, 1)
	l.do(l.s.Tick)
	l.expect(Retrying, 2) // still runs, past its deadline
	if st := l.m.Stats()[0]; st.Timeouts != 1 {
		t.Errorf("timeouts: got %d, want 1", st.Timeouts)
	}
}

func TestALeaderWhoseClockIsBehindGivesNoAttemptMoreTimeThanItsTimeout(t *testing.T) {
	l, w, held := adopted(t, -time.Hour)
	w.register()
	w.hello(0, []Held{{1, held[0].Token, true}, {2, held[1].Token, true}}, nil)
	l.pass(time.Minute)
	l.expect(Retrying, 1, 2)
}

func TestALeaderWhoseClockIsBehindMakesNobodyWaitLonger(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "sum")
	retrying, expiring := l.submit(Spec{Type: "sum"}), l.submit(Spec{QueueTimeout: time.Second})
	w.end(w.one(), EndRetryable, "no luck")
	l.restart(-time.Hour)
	l.pass(100 * time.Millisecond)
	l.expect(Queued, retrying)
	l.pass(900 * time.Millisecond)
	l.expect(Failed, expiring)
}

func TestACancelReachesAnAttemptBeforeItsWorkerIsBack(t *testing.T) {
	l, w, held := adopted(t, time.Second)
	l.cancel(1)
	w.register()
	w.hello(0, []Held{{1, held[0].Token, true}, {2, held[1].Token, true}}, nil)
	if stops := w.heard(Stop); len(stops) != 1 || stops[0].Task != 1 {
		t.Errorf("told to stop %v, want task 1", ids(stops))
	}
	w.none("whose slots are taken")
	w.refuse(held[0])
	if got := w.one(); got.Task != 3 {
		t.Errorf("got task %d, want 3", got.Task)
	}
}

func TestBackoffsAndQueueTimeoutsSurviveARestart(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "sum")
	retrying := l.submit(Spec{Type: "sum"})
	w.end(w.one(), EndRetryable, "no luck")
	expiring, patient := l.submit(Spec{QueueTimeout: 10 * time.Second}), l.submit(Spec{})
	l.restart(0)
	l.expect(Retrying, retrying)
	l.pass(99 * time.Millisecond)
	l.expect(Retrying, retrying)
	l.pass(time.Millisecond)
	l.expect(Queued, retrying)
	l.restart(5 * time.Second)
	l.pass(4 * time.Second)
	l.expect(Queued, expiring)
	l.pass(time.Second)
	l.expect(Failed, expiring)
	l.expect(Queued, patient)
	if err := l.s.Check(); err != nil {
		t.Error(err)
	}
}

func TestTheSameLeaderMayBeginAgainInTheSameTerm(t *testing.T) {
	// The journal may end a session and begin another in the same term. What was handed over in the old one, and not
	// made durable, bears a token that the new one gives to another worker.
	l := newLeader(t)
	a := l.worker("a", 1, "hash")
	l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})})
	rec := l.journal[0]
	l.journal = nil
	l.m.Apply(rec)
	l.flush()
	lost := a.one()
	l.term--
	l.restart(0)
	b := l.worker("b", 1, "hash")
	m := b.one()
	if m.Token != lost.Token {
		t.Fatalf("tokens %x and %x: the test has lost its point", uint64(m.Token), uint64(lost.Token))
	}
	a.register()
	a.hello(0, []Held{{lost.Task, lost.Token, true}}, nil)
	if stops := a.heard(Stop); len(stops) != 1 {
		t.Errorf("a got %v, want to be told to stop", stops)
	}
	if odd := a.end(lost, EndResult, "wrong"); odd != OddForeign {
		t.Errorf("the outcome of a: odd %q, want %q", odd, OddForeign)
	}
	l.expect(Dispatched, m.Task)
	b.finish(m)
	if got := l.m.Task(m.Task); got.Result != "done" || got.WorkerID != "b" {
		t.Errorf("got %q from %s", got.Result, got.WorkerID)
	}
}

func TestAWorkerIsNotHandedATokenThatItHasInVain(t *testing.T) {
	// As above, with one worker: told to stop the one, it would give back the other.
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	l.propose(&Submit{At: At(l.now), Spec: complete(t, Spec{})})
	rec := l.journal[0]
	l.journal = nil
	l.m.Apply(rec)
	l.flush()
	lost := w.one()
	l.term--
	l.restart(0)
	w.register()
	w.hello(0, []Held{{lost.Task, lost.Token, true}}, nil)
	w.none("which still has the token that it would get")
	w.refuse(lost)
	w.finish(w.one())
	l.expect(Completed, lost.Task)
	l.idle()
}

func TestASecondLeadershipOfATermLeavesOutTheNumbersThatMayBeLost(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	l.submit(Spec{})
	first := w.one()
	l.term--
	l.cfg.Again = 1
	l.restart(0)
	w.register()
	w.hello(0, nil, nil) // without it
	l.pass(time.Second)
	second := w.one()
	if second.Token.Term() != 1 || second.Token.Number() <= first.Token.Number()+1 {
		t.Errorf("got number %d of term %d after number %d; number %d may have been lost", second.Token.Number(), second.Token.Term(), first.Token.Number(), first.Token.Number()+1)
	}
	w.finish(second)
	l.idle()
}

func TestAHandOverThatTheLeaderDidNotMakeIsWatched(t *testing.T) {
	l := newLeader(t)
	id := l.submit(Spec{})
	l.propose(&Dispatch{At: At(l.now), Task: id, Token: NewToken(1, 1), WorkerID: "a", LeaseID: "lease-a"})
	l.commit()
	l.expect(Dispatched, id)
	l.pass(10 * time.Second)
	l.expect(Retrying, id)
	w := l.worker("a", 1, "hash")
	l.pass(time.Second)
	w.finish(w.one())
	l.expect(Completed, id)
	l.idle()
}

func TestTokensTellTermAndNumber(t *testing.T) {
	token := NewToken(7, 3)
	if token.Term() != 7 || token.Number() != 3 || fmt.Sprintf("%x", uint64(token)) != "700000003" {
		t.Errorf("NewToken(7, 3): got %x, term %d, number %d", uint64(token), token.Term(), token.Number())
	}
}
