package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIdsAreCountedFromOneAndNeverReused(t *testing.T) {
	h := newHistory(t)
	for want := uint64(1); want <= 5; want++ {
		if got := h.submit(Spec{}); got != want {
			t.Fatalf("id: got %d, want %d", got, want)
		}
		h.apply(&Cancel{At: h.now, Task: want})
		h.apply(&Forget{Count: 1})
	}
	m := NewMachine(10)
	if err := m.Restore(strings.NewReader(string(snapshotOf(t, h.m)))); err != nil {
		t.Fatal(err)
	}
	h.m = m
	if got := h.submit(Spec{}); got != 6 {
		t.Errorf("id after a restart with nothing kept: got %d, want 6", got)
	}
}

func TestTheSameKeyWithTheSameTaskIsTheSameTask(t *testing.T) {
	h := newHistory(t)
	spec := Spec{Type: "sum", Payload: "1,2", Key: "k", Priority: 3, MaxAttempts: 2, RequestID: "r1",
		AttemptTimeout: time.Second, QueueTimeout: time.Hour, RetryOf: 7, Labels: []Label{{"b", "2"}, {"a", "1"}}}
	id := h.submit(spec)
	again := spec
	again.RequestID = "r2" // who asks does not matter
	again.Labels = []Label{{"a", "1"}, {"b", "2"}}
	for _, state := range []State{Queued, Dispatched, Completed} {
		got := h.apply(&Submit{At: h.now, Spec: complete(t, again)}).(Submitted)
		if got.Task == nil || got.Task.ID != id || !got.Duplicate || got.Task.State != state {
			t.Fatalf("same key while %v: got %+v, want task %d again", state, got, id)
		}
		switch state {
		case Queued:
			h.dispatch(id)
		case Dispatched:
			h.end(id, EndResult, "3")
		}
	}
	for what, change := range map[string]func(s *Spec){
		"type":            func(s *Spec) { s.Type = "hash" },
		"payload":         func(s *Spec) { s.Payload = "1,3" },
		"priority":        func(s *Spec) { s.Priority = 4 },
		"max_attempts":    func(s *Spec) { s.MaxAttempts = 3 },
		"attempt_timeout": func(s *Spec) { s.AttemptTimeout = 2 * time.Second },
		"queue_timeout":   func(s *Spec) { s.QueueTimeout = 2 * time.Hour },
		"retry_of":        func(s *Spec) { s.RetryOf = 8 },
		"labels":          func(s *Spec) { s.Labels = []Label{{"a", "1"}, {"b", "3"}} },
		"fewer labels":    func(s *Spec) { s.Labels = s.Labels[:1] },
	} {
		other := spec
		other.Labels = slices.Clone(spec.Labels)
		change(&other)
		got := h.apply(&Submit{At: h.now, Spec: complete(t, other)}).(Submitted)
		if got != (Submitted{Other: id}) {
			t.Errorf("same key, other %s: got %+v, want a refusal that names task %d", what, got, id)
		}
	}
	if h.m.LastID() != id || h.m.Stats()[0].Submitted != 1 {
		t.Errorf("ids given out: %d, submitted: %d; want %d and 1", h.m.LastID(), h.m.Stats()[0].Submitted, id)
	}
}

func TestAKeyIsFreeAgainWhenItsTaskIsForgotten(t *testing.T) {
	h := newHistory(t)
	first := h.submit(Spec{Key: "k"})
	h.apply(&Cancel{At: h.now, Task: first})
	h.apply(&Forget{Count: 1})
	if h.m.HasKey("k") {
		t.Error("the key is kept longer than its task")
	}
	if second := h.submit(Spec{Key: "k", Payload: "another"}); second == first {
		t.Errorf("got task %d again", first)
	}
}

func TestAQueueTimeoutEndsATaskThatWasNeverHandedOver(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{QueueTimeout: 3 * time.Second})
	h.apply(&Expire{At: h.now, Task: id})
	if got := h.task(id); got.State != Failed || !strings.Contains(got.Error, "3s") {
		t.Errorf("got %v, %q; want FAILED, naming the queue timeout", got.State, got.Error)
	}
	for what, prepare := range map[string]func(id uint64){
		"handed over": func(id uint64) { h.dispatch(id) },
		"refused":     func(id uint64) { h.dispatch(id); h.end(id, EndRefused, "full") },
		"tried":       func(id uint64) { h.loseAttempts(id, 1) },
	} {
		id := h.submit(Spec{QueueTimeout: time.Second})
		prepare(id)
		h.unchanged("queue timeout of a task that was "+what, &Expire{At: h.now, Task: id})
	}
}

func TestATaskCanBeCancelledInEachStateButTheTerminalOnes(t *testing.T) {
	for state, way := range map[State]func(h *history, id uint64){
		Queued:     func(*history, uint64) {},
		Dispatched: func(h *history, id uint64) { h.dispatch(id) },
		Processing: func(h *history, id uint64) { h.begin(id) },
		Retrying:   func(h *history, id uint64) { h.begin(id); h.end(id, EndRetryable, "x") },
		Completed:  func(h *history, id uint64) { h.begin(id); h.end(id, EndResult, "x") },
		Failed:     func(h *history, id uint64) { h.begin(id); h.end(id, EndPermanent, "x") },
		Cancelled:  func(h *history, id uint64) { h.apply(&Cancel{At: h.now, Task: id}) },
	} {
		h := newHistory(t)
		id := h.submit(Spec{})
		way(h, id)
		before := h.task(id)
		got := h.apply(&Cancel{At: h.now, Task: id, Reason: "no longer wanted"})
		if got != (Cancelling{Found: true, State: state}) {
			t.Errorf("cancel while %v: got %+v", state, got)
		}
		after := h.task(id)
		if state.Terminal() && after != before {
			t.Errorf("cancel changed a task that was %v already", state)
		}
		if !state.Terminal() && (after.State != Cancelled || after.Error != "no longer wanted" || after.RetryAt != 0) {
			t.Errorf("cancel while %v: got %v, %q", state, after.State, after.Error)
		}
		conserve(t, h.m)
	}
	if got := newHistory(t).apply(&Cancel{Task: 99}); got != (Cancelling{}) {
		t.Errorf("cancel of a task that does not exist: got %+v", got)
	}
}

func TestAHistoryKeepsTheFirstEightAndTheNewestSteps(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{})
	for range 100 {
		h.dispatch(id)
		h.end(id, EndRefused, "full")
	}
	var all []Step
	events, _ := h.m.Events(0, 1000, nil)
	for _, e := range events {
		all = append(all, Step{At: e.At, WorkerID: e.WorkerID, Reason: e.Reason, Attempt: e.Attempt, From: e.From, To: e.To})
	}
	got := h.task(id).History()
	want := slices.Concat(all[:8], all[len(all)-120:])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history of %d steps (-want +got):\n%s", len(all), diff)
	}
	if dropped := h.task(id).HistoryDropped(); int(dropped) != len(all)-128 {
		t.Errorf("dropped: got %d, want %d", dropped, len(all)-128)
	}
}

func TestAVersionThatAReaderKeepsNeverChanges(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{})
	var versions []*Task
	var said []string
	say := func(task *Task) string { return fmt.Sprintf("%+v %+v", *task, task.History()) }
	for range 200 {
		h.dispatch(id)
		versions, said = append(versions, h.task(id)), append(said, say(h.task(id)))
		h.end(id, EndRefused, "full")
		versions, said = append(versions, h.task(id)), append(said, say(h.task(id)))
	}
	for i, v := range versions {
		if say(v) != said[i] {
			t.Fatalf("version %d changed\nfrom %s\n  to %s", i, said[i], say(v))
		}
	}
}

func TestForgetLetsGoInTheOrderOfEnding(t *testing.T) {
	h := newHistory(t)
	for range 4 {
		h.submit(Spec{Payload: "12345"})
	}
	for _, id := range []uint64{3, 1, 4} {
		h.apply(&Cancel{At: h.now, Task: id})
	}
	h.apply(&Forget{Count: 2})
	var kept []uint64
	for _, task := range h.m.Page(0) {
		kept = append(kept, task.ID)
	}
	if want := []uint64{2, 4}; !slices.Equal(kept, want) {
		t.Errorf("kept: got %v, want %v", kept, want)
	}
	h.apply(&Forget{Count: 1 << 60})
	if h.m.Forgotten() != 3 || h.m.Task(4) != nil || h.m.Task(2) == nil {
		t.Errorf("forgotten: got %d; want the 3 that had ended, and not the one that is queued", h.m.Forgotten())
	}
	conserve(t, h.m)
}

func TestLiveCountsTasksAndPayloadsThatAreNotTerminal(t *testing.T) {
	h := newHistory(t)
	a, b := h.submit(Spec{Payload: "12345"}), h.submit(Spec{Payload: "123"})
	h.begin(a)
	live := func(n int, size int64) {
		t.Helper()
		if gotN, gotSize := h.m.Live(); gotN != n || gotSize != size {
			t.Errorf("live: got %d tasks, %d bytes; want %d, %d", gotN, gotSize, n, size)
		}
	}
	live(2, 8)
	h.end(a, EndResult, "a long result")
	live(1, 3)
	h.apply(&Cancel{At: h.now, Task: b})
	live(0, 0)
	h.apply(&Forget{Count: 2})
	if h.m.doneSize != 0 {
		t.Errorf("bytes of terminal tasks with none kept: %d", h.m.doneSize)
	}
}

func TestTypesAreKnownForEver(t *testing.T) {
	h := newHistory(t)
	h.apply(&KnownType{Type: "upper"})
	h.apply(&KnownType{Type: "hash"})
	h.unchanged("a type that is known", &KnownType{Type: "upper"})
	if got, want := h.m.KnownTypes(), []string{"hash", "upper"}; !slices.Equal(got, want) || h.m.Known("sum") {
		t.Errorf("known types: got %v, want %v", got, want)
	}
}

func TestEveryStepHasItsPlaceInTheOneOrderOfEvents(t *testing.T) {
	h := newHistory(t)
	id := h.submit(Spec{})
	h.apply(&WorkerChange{At: h.now, WorkerID: "w1", Aspect: "state", After: "ACTIVE"})
	h.begin(id)
	h.end(id, EndTimeout, "too long")
	var got []string
	events, ok := h.m.Events(0, 100, nil)
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Seq)
		}
		got = append(got, fmt.Sprintf("%d %v %v %s%s", e.TaskID, e.From, e.To, e.Aspect, e.After))
	}
	want := []string{"1  CREATED ", "1 CREATED QUEUED ", "0   stateACTIVE", "1 QUEUED DISPATCHED ", "1 DISPATCHED PROCESSING ",
		"1 PROCESSING TIMEOUT ", "1 TIMEOUT RETRYING "}
	if !ok || !slices.Equal(got, want) {
		t.Errorf("events:\n got %q\nwant %q", got, want)
	}
}
