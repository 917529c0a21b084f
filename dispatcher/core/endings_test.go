package core

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWhatBecomesOfATaskWhoseAttemptEnds(t *testing.T) {
	// Each row is an ending of an attempt that is DISPATCHED or PROCESSING; the words are the reason that the task bears.
	type row struct {
		how          Ending
		spent        bool // no attempts left after this one
		lost         int  // redeliveries before
		started      bool
		state        State
		attempts     uint16
		redeliveries uint16
		words        string
	}
	var rows []row
	for _, started := range []bool{false, true} {
		for _, spent := range []bool{false, true} {
			rows = append(rows,
				row{EndResult, spent, 0, started, Completed, 1, 0, ""},
				row{EndInvalidPayload, spent, 0, started, Failed, 1, 0, "the word"},
				row{EndPermanent, spent, 0, started, Failed, 1, 0, "the word"},
				row{EndLost, spent, 0, started, Retrying, 0, 1, "the word"},
				row{EndLost, spent, MaxRedeliveries - 1, started, Retrying, 0, MaxRedeliveries, "the word"},
				row{EndLost, spent, MaxRedeliveries, started, Failed, 1, MaxRedeliveries, "lost with its worker 11 times, the last time: the word"},
				row{EndResult, spent, MaxRedeliveries, started, Completed, 1, MaxRedeliveries, ""})
		}
		rows = append(rows,
			row{EndRetryable, false, 0, started, Retrying, 1, 0, "the word"},
			row{EndRetryable, true, 0, started, Failed, 1, 0, "the word"},
			row{EndRetryable, false, MaxRedeliveries, started, Retrying, 1, MaxRedeliveries, "the word"},
			row{EndTimeout, false, 0, started, Retrying, 1, 0, "the word"},
			row{EndTimeout, true, 0, started, Failed, 1, 0, "the word"})
	}
	rows = append(rows,
		row{EndRefused, true, MaxRedeliveries, false, Queued, 0, MaxRedeliveries, ""},
		row{EndRefused, true, 0, true, Retrying, 0, 1, "the word"},
		row{EndRefused, true, MaxRedeliveries, true, Failed, 1, MaxRedeliveries, "lost with its worker 11 times, the last time: the word"})

	for _, r := range rows {
		t.Run(fmt.Sprintf("%v/spent=%v/lost=%d/started=%v", r.how, r.spent, r.lost, r.started), func(t *testing.T) {
			h := newHistory(t)
			maxAttempts := uint32(4)
			if r.spent {
				maxAttempts = 1
			}
			id := h.submit(Spec{MaxAttempts: maxAttempts})
			h.loseAttempts(id, r.lost)
			if r.started {
				h.begin(id)
			} else {
				h.dispatch(id)
			}
			if r.lost > 0 && r.state == Completed || r.how == EndRefused && !r.started {
				r.words = h.task(id).Error // stays: why the attempt before it ended, until there is a result
				if r.state == Completed {
					r.words = ""
				}
			}
			h.end(id, r.how, "the word")
			h.expect(id, r.state, r.attempts, r.redeliveries)
			got := h.task(id)
			if got.Error != r.words {
				t.Errorf("error: got %q, want %q", got.Error, r.words)
			}
			if want := r.state == Completed; (got.Result == "the word") != want {
				t.Errorf("result: got %q in state %v", got.Result, got.State)
			}
			if (got.Ended != 0) != got.State.Terminal() || (got.RetryAt != 0) != (got.State == Retrying) {
				t.Errorf("state %v: ended at %d, to be retried at %d", got.State, got.Ended, got.RetryAt)
			}
			conserve(t, h.m)
		})
	}
}

func TestAnOutcomeOfATaskThatIsNotRunningChangesNothing(t *testing.T) {
	reach := map[State]func(h *history, id uint64){
		Queued:    func(h *history, id uint64) { h.loseAttempts(id, 1) },
		Retrying:  func(h *history, id uint64) { h.begin(id); h.end(id, EndRetryable, "x") },
		Completed: func(h *history, id uint64) { h.begin(id); h.end(id, EndResult, "x") },
		Failed:    func(h *history, id uint64) { h.begin(id); h.end(id, EndPermanent, "x") },
		Cancelled: func(h *history, id uint64) { h.begin(id); h.apply(&Cancel{At: h.now, Task: id}) },
	}
	for state, way := range reach {
		t.Run(state.String(), func(t *testing.T) {
			h := newHistory(t)
			id := h.submit(Spec{})
			way(h, id)
			h.expect(id, state, h.task(id).Attempts, h.task(id).Redeliveries)
			for how := EndResult; how <= EndRefused; how++ {
				h.unchanged("late outcome", &End{At: h.now, Task: id, Token: h.task(id).Attempt, How: how, Text: "late", RetryAt: h.now})
			}
			h.unchanged("late word that the handler began", &Start{At: h.now, Task: id, Token: h.task(id).Attempt})
			if state != Retrying {
				h.unchanged("a backoff that nobody waits for", &Requeue{At: h.now, Task: id, Token: h.task(id).Attempt})
			}
			if state != Queued {
				h.unchanged("hand-over", &Dispatch{At: h.now, Task: id, Token: h.task(id).Attempt + 1, WorkerID: "w2"})
			}
			h.unchanged("queue timeout", &Expire{At: h.now, Task: id})
		})
	}
}

func TestALateResultOfAnOldAttemptIsDropped(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{})
	old := h.begin(id)
	h.end(id, EndTimeout, "too long")
	h.requeue(id)
	current := h.begin(id)
	for _, token := range []Token{old, 0, current + 1, NewToken(2, current.Number()), ^Token(0)} {
		for how := EndResult; how <= EndRefused; how++ {
			h.unchanged("forged or late", &End{At: h.now, Task: id, Token: token, How: how, Text: "forged"})
		}
		h.unchanged("forged or late", &Start{At: h.now, Task: id, Token: token})
	}
	h.end(id, EndResult, "right")
	if got := h.task(id); got.State != Completed || got.Result != "right" {
		t.Errorf("got %v %q, want COMPLETED \"right\"", got.State, got.Result)
	}
}

func TestATerminalTaskIsImmutable(t *testing.T) {
	for _, how := range []Ending{EndResult, EndPermanent, 0} {
		h := newHistory(t)
		id := h.submit(Spec{QueueTimeout: time.Second})
		token := h.begin(id)
		if how != 0 {
			h.end(id, how, "first")
		} else {
			h.apply(&Cancel{At: h.now, Task: id, Reason: "first"})
		}
		h.unchanged("after the end",
			&End{At: h.now, Task: id, Token: token, How: EndResult, Text: "second"},
			&End{At: h.now, Task: id, Token: token, How: EndLost, Text: "second"},
			&Cancel{At: h.now, Task: id, Reason: "second"},
			&Expire{At: h.now, Task: id}, &Requeue{At: h.now, Task: id, Token: token},
			&Dispatch{At: h.now, Task: id, Token: token + 1, WorkerID: "w2"}, &Start{At: h.now, Task: id, Token: token})
	}
}

func TestAnEmptyResultIsAResult(t *testing.T) {
	for _, result := range []string{"", "0", "false", "null"} {
		h := newHistory(t)
		id := h.submit(Spec{})
		h.begin(id)
		h.end(id, EndResult, result)
		if got := h.task(id); got.State != Completed || got.Result != result || got.Error != "" {
			t.Errorf("result %q: got %v with result %q, error %q", result, got.State, got.Result, got.Error)
		}
	}
}

func TestSpentAttemptsFailWithTheLastCause(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{MaxAttempts: 3})
	for i, how := range []Ending{EndRetryable, EndTimeout, EndRetryable} {
		h.loseAttempts(id, 1) // costs none of them
		h.begin(id)
		h.end(id, how, fmt.Sprintf("cause %d", i+1))
		if i < 2 {
			h.expect(id, Retrying, uint16(i+1), uint16(i+1))
			h.requeue(id)
		}
	}
	h.expect(id, Failed, 3, 3)
	if got := h.task(id).Error; got != "cause 3" {
		t.Errorf("error: got %q, want the last cause", got)
	}
	st := h.m.Stats()[0]
	if st.Timeouts != 1 || st.Retries != 5 || st.Handovers != 6 || st.FailedTotal != 1 {
		t.Errorf("counts: %+v; want 1 timeout, 5 retries, 6 hand-overs, 1 failed", st)
	}
}

func TestATaskThatKillsEveryWorkerFailsInWords(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{MaxAttempts: 1})
	h.loseAttempts(id, 10)
	h.expect(id, Queued, 0, 10)
	h.begin(id)
	h.end(id, EndLost, "the stream broke")
	if got := h.task(id); got.State != Failed || !strings.Contains(got.Error, "11 times") || !strings.Contains(got.Error, "the stream broke") {
		t.Errorf("got %v, %q; want FAILED, saying how often and why", got.State, got.Error)
	}
}

func TestARefusalForCapacityCostsNothingHoweverOften(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{MaxAttempts: 1})
	order, queuedAt := h.task(id).Order, h.task(id).QueuedAt
	for range 300 {
		h.dispatch(id)
		h.end(id, EndRefused, "full")
	}
	h.expect(id, Queued, 0, 0)
	got := h.task(id)
	if got.Order != order || got.QueuedAt != queuedAt {
		t.Errorf("place in the queue: got %d since %d, want the old one, %d since %d", got.Order, got.QueuedAt, order, queuedAt)
	}
	if n := h.m.Stats()[0].Requeues; n != 300 {
		t.Errorf("requeues: got %d, want 300", n)
	}
}
