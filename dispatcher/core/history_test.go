package core

import (
	"bytes"
	"testing"
	"time"
)

// history drives a machine record by record, the way the journal does: in the wire form.
type history struct {
	testing.TB
	m   *Machine
	now Instant
}

// start is when every test begins.
var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func newHistory(t testing.TB) *history {
	h := &history{TB: t, m: NewMachine(10_000), now: At(start)}
	h.m.Changed = func(task *Task, from State) {
		if got := h.m.Task(task.ID); got != task {
			t.Errorf("Changed(%v -> %v) announces a version that the machine does not have", from, task.State)
		}
	}
	return h
}

// apply applies a record, a millisecond after the one before.
func (h *history) apply(rec record) any {
	h.Helper()
	h.now += 1000
	result, err := h.m.Apply(Encode(rec))
	if err != nil {
		h.Fatalf("apply %#v: %v", rec, err)
	}
	return result
}

// submit makes a task and returns its id. What spec leaves out is filled in as for a caller.
func (h *history) submit(spec Spec) uint64 {
	h.Helper()
	got := h.apply(&Submit{At: h.now, Spec: complete(h, spec)}).(Submitted)
	if got.Task == nil {
		h.Fatalf("submit %+v: refused", spec)
	}
	return got.Task.ID
}

func complete(t testing.TB, spec Spec) *Spec {
	t.Helper()
	if spec.Type == "" {
		spec.Type = "hash"
	}
	if err := spec.Complete(Defaults{MaxAttempts: 4, AttemptTimeout: time.Minute, MaxPayload: 64 << 10}); err != nil {
		t.Fatalf("spec %+v: %v", spec, err)
	}
	return &spec
}

func (h *history) task(id uint64) *Task {
	h.Helper()
	t := h.m.Task(id)
	if t == nil {
		h.Fatalf("task %d: there is none", id)
	}
	return t
}

// dispatch hands a task over in term 1 and returns the token.
func (h *history) dispatch(id uint64) Token {
	h.Helper()
	token := NewToken(1, h.task(id).Attempt.Number()+1)
	h.apply(&Dispatch{At: h.now, Task: id, Token: token, WorkerID: "w1", LeaseID: "lease-1"})
	return token
}

// begin hands a task over and says that its handler began.
func (h *history) begin(id uint64) Token {
	h.Helper()
	token := h.dispatch(id)
	h.apply(&Start{At: h.now, Task: id, Token: token})
	return token
}

// end ends the task's current attempt.
func (h *history) end(id uint64, how Ending, text string) {
	h.Helper()
	h.apply(&End{At: h.now, Task: id, Token: h.task(id).Attempt, Duration: time.Millisecond, How: how, Text: text, RetryAt: h.now + 1000})
}

func (h *history) requeue(id uint64) {
	h.Helper()
	h.apply(&Requeue{At: h.now, Task: id, Token: h.task(id).Attempt})
}

// loseAttempts loses n attempts of a queued task with their worker; it is queued again after each.
func (h *history) loseAttempts(id uint64, n int) {
	h.Helper()
	for range n {
		h.begin(id)
		h.end(id, EndLost, "worker gone")
		h.requeue(id)
	}
}

// expect checks where a task stands.
func (h *history) expect(id uint64, want State, attempts, redeliveries uint16) {
	h.Helper()
	t := h.task(id)
	if t.State != want || t.Attempts != attempts || t.Redeliveries != redeliveries {
		h.Errorf("task %d: got %v, %d attempts, %d redeliveries; want %v, %d, %d", id, t.State, t.Attempts, t.Redeliveries, want, attempts, redeliveries)
	}
}

// unchanged checks that applying records changes nothing in the whole machine.
func (h *history) unchanged(what string, recs ...record) {
	h.Helper()
	before := snapshotOf(h, h.m)
	for _, rec := range recs {
		h.apply(rec)
		if !bytes.Equal(before, snapshotOf(h, h.m)) {
			h.Fatalf("%s: %#v changed the machine", what, rec)
		}
	}
}

func snapshotOf(t testing.TB, m *Machine) []byte {
	t.Helper()
	var buf bytes.Buffer
	n, err := m.Snapshot().WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("snapshot: wrote %d bytes, says %d, error %v", buf.Len(), n, err)
	}
	return buf.Bytes()
}

// conserve checks that no task is in two counts or in none.
func conserve(t testing.TB, m *Machine) {
	t.Helper()
	for _, st := range m.Stats() {
		if sum := st.Queued + st.Running + st.Retrying + st.Completed + st.Failed + st.Cancelled + st.Forgotten; st.Submitted != sum {
			t.Fatalf("type %s: %d submitted, and %d in all states: %+v", st.Type, st.Submitted, sum, st)
		}
	}
}
