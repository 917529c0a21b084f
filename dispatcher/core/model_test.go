package core

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// book is the machine's rules once more, as plainly as they can be said: what is in contract.md under "Tasks".
type book struct {
	tasks    map[uint64]*entry
	keys     map[string]uint64
	finished []uint64
	last     uint64
}

type entry struct {
	spec                   *Spec
	state                  State
	token                  Token
	attempts, redeliveries int
	text                   string // the result or the error
}

// apply does what a record says.
func (b *book) apply(rec record) {
	switch rec := rec.(type) {
	case *Submit:
		if rec.Spec.Key != "" && b.keys[rec.Spec.Key] != 0 {
			return
		}
		b.last++
		b.tasks[b.last] = &entry{spec: rec.Spec, state: Queued}
		if rec.Spec.Key != "" {
			b.keys[rec.Spec.Key] = b.last
		}
	case *Dispatch:
		if e := b.tasks[rec.Task]; e != nil && e.state == Queued {
			e.state, e.token = Dispatched, rec.Token
			e.attempts++
		}
	case *Start:
		if e := b.tasks[rec.Task]; e != nil && e.state == Dispatched && e.token == rec.Token {
			e.state = Processing
		}
	case *End:
		if e := b.tasks[rec.Task]; e != nil && e.state.Running() && e.token == rec.Token {
			b.end(rec, e)
		}
	case *Requeue:
		if e := b.tasks[rec.Task]; e != nil && e.state == Retrying && e.token == rec.Token {
			e.state = Queued
		}
	case *Expire:
		if e := b.tasks[rec.Task]; e != nil && e.state == Queued && e.token == 0 {
			b.finish(rec.Task, Failed, fmt.Sprintf("no worker took it within its queue timeout of %v", e.spec.QueueTimeout))
		}
	case *Cancel:
		if e := b.tasks[rec.Task]; e != nil && !e.state.Terminal() {
			b.finish(rec.Task, Cancelled, rec.Reason)
		}
	case *Forget:
		for range min(rec.Count, uint64(len(b.finished))) {
			delete(b.keys, b.tasks[b.finished[0]].spec.Key)
			delete(b.tasks, b.finished[0])
			b.finished = b.finished[1:]
		}
	}
}

func (b *book) finish(id uint64, state State, text string) {
	e := b.tasks[id]
	e.state, e.text = state, text
	b.finished = append(b.finished, id)
}

// end decides what an ended attempt means for its task.
func (b *book) end(rec *End, e *entry) {
	spent := e.attempts >= int(e.spec.MaxAttempts)
	lost := rec.How == EndLost || rec.How == EndRefused && e.state == Processing
	switch {
	case rec.How == EndResult:
		b.finish(rec.Task, Completed, rec.Text)
	case rec.How == EndInvalidPayload || rec.How == EndPermanent:
		b.finish(rec.Task, Failed, rec.Text)
	case lost && e.redeliveries == 10:
		b.finish(rec.Task, Failed, fmt.Sprintf("lost with its worker 11 times, the last time: %s", rec.Text))
	case lost:
		e.state, e.text = Retrying, rec.Text
		e.attempts--
		e.redeliveries++
	case rec.How == EndRefused:
		e.state = Queued
		e.attempts--
	case spent:
		b.finish(rec.Task, Failed, rec.Text)
	default:
		e.state, e.text = Retrying, rec.Text
	}
}

// plausible draws a record that may fit the machine: about a task that exists or is the next one, with a token that is
// mostly the current one.
func plausible(t *rapid.T, m *Machine, now Instant) record {
	id := rapid.Uint64Range(max(1, m.LastID()-min(m.LastID(), 6)), m.LastID()+1).Draw(t, "task")
	token := NewToken(1, 1)
	if task := m.Task(id); task != nil {
		token = task.Attempt
	}
	if rapid.IntRange(0, 5).Draw(t, "wrong token") == 0 {
		token += Token(rapid.SampledFrom([]int{-1, 1, 1 << 32}).Draw(t, "by"))
	}
	switch rapid.IntRange(0, 19).Draw(t, "what") {
	case 0, 1, 2:
		return &Submit{At: now, Spec: &Spec{Type: rapid.SampledFrom([]string{"hash", "sum"}).Draw(t, "type"), Payload: "payload", MaxAttempts: rapid.Uint32Range(1, 3).Draw(t, "max attempts"),
			Key: rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "key"), QueueTimeout: time.Second, Priority: rapid.Int32Range(0, 9).Draw(t, "priority")}}
	case 3:
		return &Expire{At: now, Task: id}
	case 4:
		return &Cancel{At: now, Task: id, Reason: "why"}
	case 5:
		return &Forget{Count: rapid.Uint64Range(0, 2).Draw(t, "count")}
	case 6:
		return &WorkerChange{At: now, WorkerID: "w", Aspect: "state", After: "ACTIVE"}
	case 7, 8:
		return &Start{At: now, Task: id, Token: token}
	case 9, 10, 11:
		return &Requeue{At: now, Task: id, Token: token}
	case 12, 13, 14:
		return &Dispatch{At: now, Task: id, Token: token + 1, WorkerID: "w", LeaseID: "lease"}
	default:
		return &End{At: now, Task: id, Token: token, Duration: time.Millisecond, How: anyEnding.Draw(t, "how"), Text: rapid.SampledFrom([]string{"", "text"}).Draw(t, "text"), RetryAt: now + 1}
	}
}

func TestTheMachineFollowsTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, b := NewMachine(1000), &book{tasks: map[uint64]*entry{}, keys: map[string]uint64{}}
		for n := range rapid.IntRange(1, 150).Draw(t, "records") {
			rec := plausible(t, m, At(start)+Instant(n))
			if _, err := m.Apply(Encode(rec)); err != nil {
				t.Fatal(err)
			}
			b.apply(rec)
			b.compare(t, m, rec)
		}
	})
}

// compare checks that the machine agrees with the book.
func (b *book) compare(t *rapid.T, m *Machine, rec record) {
	if m.LastID() != b.last || m.tasks.count != len(b.tasks) || m.finished.len() != len(b.finished) {
		t.Fatalf("after %#v: machine has %d tasks, %d finished; the book %d, %d", rec, m.tasks.count, m.finished.len(), len(b.tasks), len(b.finished))
	}
	for id, e := range b.tasks {
		got := m.Task(id)
		if got == nil || got.State != e.state || got.Attempt != e.token || int(got.Attempts) != e.attempts || int(got.Redeliveries) != e.redeliveries {
			t.Fatalf("after %#v: task %d: machine has %+v, the book %+v", rec, id, got, e)
		}
		text := got.Error
		if got.State == Completed {
			text = got.Result
		}
		if text != e.text {
			t.Fatalf("after %#v: task %d is %v with %q, the book says %q", rec, id, got.State, text, e.text)
		}
		if got.Attempts > uint16(got.MaxAttempts) {
			t.Fatalf("task %d: %d attempts of %d", id, got.Attempts, got.MaxAttempts)
		}
	}
	conserveIn(t, m)
}

// conserveIn is conserve within rapid, and compares the counts with the tasks.
func conserveIn(t *rapid.T, m *Machine) {
	kept, live := map[State]uint64{}, 0
	m.tasks.each(func(task *Task) {
		kept[task.State]++
		if !task.State.Terminal() {
			live++
		}
	})
	var sum TypeStats
	for _, st := range m.Stats() {
		if total := st.Queued + st.Running + st.Retrying + st.Completed + st.Failed + st.Cancelled + st.Forgotten; total != st.Submitted {
			t.Fatalf("type %s: %d submitted, %d in all states", st.Type, st.Submitted, total)
		}
		sum.Queued, sum.Running, sum.Retrying = sum.Queued+st.Queued, sum.Running+st.Running, sum.Retrying+st.Retrying
		sum.Completed, sum.Failed, sum.Cancelled = sum.Completed+st.Completed, sum.Failed+st.Failed, sum.Cancelled+st.Cancelled
		sum.Forgotten += st.Forgotten
	}
	if sum.Queued != kept[Queued] || sum.Running != kept[Dispatched]+kept[Processing] || sum.Retrying != kept[Retrying] ||
		sum.Completed != kept[Completed] || sum.Failed != kept[Failed] || sum.Cancelled != kept[Cancelled] || sum.Forgotten != m.Forgotten() {
		t.Fatalf("counts %+v, tasks %v, forgotten %d", sum, kept, m.Forgotten())
	}
	if n, bytes := m.Live(); n != live || bytes != int64(live*len("payload")) {
		t.Fatalf("live: %d tasks, %d bytes; there are %d", n, bytes, live)
	}
}
