package core

import (
	"fmt"
	"slices"
	"strings"
)

// MaxRedeliveries is how often an attempt of a task may be lost with its worker; one more fails the task, since it may
// well be what kills them.
const MaxRedeliveries = 10

// Machine is everything the journal determines: the tasks, the counts, the newest events, the types ever registered.
// Apply is the only thing that changes it, when it is live and when it is replayed. It has no clock, no randomness and
// no order that depends on a map, so it is the same on every replica. It is not safe for concurrent use.
type Machine struct {
	tasks     table
	lastID    uint64
	keys      keyIndex
	types     map[string]*TypeStats
	latest    *TypeStats // that were asked for
	events    ring
	finished  fifo  // ids of terminal tasks, the one that ended first in front
	live      int   // tasks that are not terminal
	liveSize  int64 // bytes of their payloads
	doneSize  int64 // bytes of the texts of terminal tasks
	forgotten uint64
	decoder   decoder

	// Changed, if set, is called after each step of a task with the version it led to, which a further step of the same
	// record may change: only one that is terminal may be kept. TIMEOUT is passed through without a call.
	Changed func(t *Task, from State)
}

// NewMachine returns an empty machine that keeps the newest keepEvents events.
func NewMachine(keepEvents int) *Machine {
	return &Machine{
		keys:    keyIndex{},
		types:   map[string]*TypeStats{},
		events:  ring{limit: keepEvents},
		decoder: decoder{texts: intern{}},
	}
}

// Submitted is the result of applying a Submit.
type Submitted struct {
	Task      *Task  // nil when refused
	Duplicate bool   // the key had been seen with the same task
	Other     uint64 // the key belongs to this other task: refused
}

// Cancelling is the result of applying a Cancel.
type Cancelling struct {
	Found bool
	State State // before
}

// Apply changes the machine as the record says and returns what the record's proposer wants to know: a Submitted, a
// Cancelling, or nil. A record that no longer fits (an outcome that comes late, a cancel of a finished task) changes
// nothing. An error means that the journal holds what this program cannot read; the machine must not be used further.
func (m *Machine) Apply(data []byte) (any, error) {
	rec, err := m.decoder.decode(data)
	if err != nil {
		return nil, err
	}
	switch rec := rec.(type) {
	case *Submit:
		return m.submit(rec), nil
	case *Dispatch:
		m.dispatch(rec)
	case *Start:
		m.start(rec)
	case *End:
		m.end(rec)
	case *Requeue:
		if t := m.current(rec.Task, rec.Token); t != nil && t.State == Retrying {
			m.queue(t.State, t.step(Queued, rec.At, ""), rec.At, "")
		}
	case *Expire:
		if t := m.tasks.get(rec.Task); t != nil && t.State == Queued && t.Attempt == 0 {
			m.finish(t, Failed, rec.At, fmt.Sprintf("no worker took it within its queue timeout of %v", t.QueueTimeout))
		}
	case *Cancel:
		return m.cancel(rec), nil
	case *KnownType:
		m.stats(m.decoder.texts.get(rec.Type))
	case *WorkerChange:
		m.events.add(Event{At: rec.At, WorkerID: m.decoder.texts.get(rec.WorkerID), Aspect: m.decoder.texts.get(rec.Aspect),
			Before: m.decoder.texts.get(rec.Before), After: m.decoder.texts.get(rec.After), Reason: rec.Reason})
	case *Forget:
		m.forget(rec.Count)
	}
	return nil, nil
}

// submit makes a task, or finds the one that its key belongs to.
func (m *Machine) submit(rec *Submit) Submitted {
	spec := rec.Spec
	if spec.Key != "" {
		if id, ok := m.keys.get(spec.Key); ok {
			t := m.tasks.get(id)
			if !same(t.Spec, spec) {
				return Submitted{Other: id}
			}
			return Submitted{Task: t, Duplicate: true}
		}
	}
	spec.Type = m.decoder.texts.get(spec.Type)
	m.lastID++
	t := &Task{Spec: spec, ID: m.lastID, State: Created, Created: rec.At}
	if spec.Key != "" {
		m.keys.add(spec.Key, t.ID)
	}
	m.live++
	m.liveSize += t.size()
	m.stats(spec.Type).Submitted++
	m.move(None, t, rec.At, "")
	t.advance(Queued, rec.At, "")
	return Submitted{Task: m.queue(Created, t, rec.At, "")}
}

// same tells whether two submissions ask for the same. Who asked (the request id) does not matter.
func same(a, b *Spec) bool {
	return a.Type == b.Type && a.Payload == b.Payload && a.Priority == b.Priority && a.MaxAttempts == b.MaxAttempts &&
		a.AttemptTimeout == b.AttemptTimeout && a.QueueTimeout == b.QueueTimeout && a.RetryOf == b.RetryOf &&
		slices.Equal(a.Labels, b.Labels)
}

// current returns the task if the token is that of its current attempt, nil otherwise. This is the fence.
func (m *Machine) current(id uint64, token Token) *Task {
	t := m.tasks.get(id)
	if t == nil || t.Attempt != token {
		return nil
	}
	return t
}

func (m *Machine) dispatch(rec *Dispatch) {
	t := m.tasks.get(rec.Task)
	if t == nil || t.State != Queued {
		return
	}
	next := new(*t)
	next.Attempt, next.WorkerID, next.LeaseID = rec.Token, rec.WorkerID, rec.LeaseID
	next.advance(Dispatched, rec.At, "")
	next.Attempts++
	next.DispatchedAt, next.Duration = rec.At, 0
	st := m.stats(t.Type)
	st.Handovers++
	st.QueueTime += max(0, rec.At.Time().Sub(t.QueuedAt.Time())) // the clock may have been set back
	m.move(t.State, next, rec.At, "")
}

func (m *Machine) start(rec *Start) {
	if t := m.current(rec.Task, rec.Token); t != nil && t.State == Dispatched {
		m.move(t.State, t.step(Processing, rec.At, ""), rec.At, "")
	}
}

// end ends an attempt. What the task does next follows from how it ended and from what the task has left.
func (m *Machine) end(rec *End) {
	t := m.current(rec.Task, rec.Token)
	if t == nil || !t.State.Running() {
		return
	}
	begins := t.State == Dispatched && rec.How.began()
	if begins { // the outcome came together with the word that the handler began, or without it
		t = m.move(t.State, t.step(Processing, rec.At, ""), rec.At, "")
	}
	switch rec.How {
	case EndResult:
		from, next := t.State, t
		if begins {
			next.advance(Completed, rec.At, "")
		} else {
			next = t.step(Completed, rec.At, "")
		}
		next.Result, next.Error = rec.Text, ""
		next.Duration = rec.Duration
		m.stats(t.Type).Latency.add(rec.Duration)
		m.stats(t.Type).ProcessingTime += rec.Duration
		m.move(from, next, rec.At, "")
	case EndInvalidPayload, EndPermanent:
		m.giveUp(t, rec, rec.Text)
	case EndRetryable:
		m.spend(t, rec)
	case EndTimeout:
		m.stats(t.Type).Timeouts++
		t = m.move(t.State, t.step(Timeout, rec.At, rec.Text), rec.At, rec.Text)
		m.spend(t, rec)
	case EndRefused:
		if t.State == Dispatched {
			m.stats(t.Type).Requeues++
			m.requeue(t, rec)
			return
		}
		m.redeliver(t, rec)
	case EndLost:
		m.redeliver(t, rec)
	}
}

// giveUp fails a task whose attempt ended as rec says.
func (m *Machine) giveUp(t *Task, rec *End, why string) {
	ended := *t
	ended.Duration = rec.Duration
	m.finish(&ended, Failed, rec.At, why)
}

// spend ends an attempt that counts: the task waits for the next one, or fails when there is none left.
func (m *Machine) spend(t *Task, rec *End) {
	if uint32(t.Attempts) >= t.MaxAttempts {
		m.giveUp(t, rec, rec.Text)
		return
	}
	m.retry(t, rec, rec.Text)
}

// redeliver ends an attempt that was lost with its worker. It spends none of the task's attempts.
func (m *Machine) redeliver(t *Task, rec *End) {
	if t.Redeliveries >= MaxRedeliveries {
		m.giveUp(t, rec, fmt.Sprintf("lost with its worker %d times, the last time: %s", t.Redeliveries+1, rec.Text))
		return
	}
	lost := *t
	lost.Attempts--
	lost.Redeliveries++
	m.retry(&lost, rec, rec.Text)
}

func (m *Machine) retry(t *Task, rec *End, why string) {
	next := t.step(Retrying, rec.At, why)
	next.Error, next.Duration, next.RetryAt = why, rec.Duration, rec.RetryAt
	m.stats(t.Type).Retries++
	m.move(t.State, next, rec.At, why)
}

// requeue puts a task that was refused back to where it stood in its queue.
func (m *Machine) requeue(t *Task, rec *End) {
	next := t.step(Queued, rec.At, rec.Text)
	next.Attempts--
	m.move(t.State, next, rec.At, rec.Text)
}

// queue puts a task, which has just become Queued, at the end of its queue.
func (m *Machine) queue(from State, next *Task, at Instant, why string) *Task {
	next.QueuedAt, next.RetryAt = at, 0
	next.Order = m.events.last + 1 // the event of this very step
	return m.move(from, next, at, why)
}

func (m *Machine) cancel(rec *Cancel) Cancelling {
	t := m.tasks.get(rec.Task)
	if t == nil {
		return Cancelling{}
	}
	if !t.State.Terminal() {
		m.finish(t, Cancelled, rec.At, rec.Reason)
	}
	return Cancelling{Found: true, State: t.State}
}

// finish ends a task without a result.
func (m *Machine) finish(t *Task, to State, at Instant, why string) {
	next := t.step(to, at, why)
	next.Error, next.RetryAt = why, 0
	m.move(t.State, next, at, why)
}

// move makes next the task's version, counts and announces the step from the state before, and returns next. Every step
// passes here.
func (m *Machine) move(from State, next *Task, at Instant, why string) *Task {
	st := m.stats(next.Type)
	st.leave(from)
	st.enter(next.State)
	if next.State.Terminal() {
		next.Ended = at
		m.finished.push(next.ID)
		m.live--
		m.liveSize -= int64(len(next.Payload))
		m.doneSize += next.size()
	}
	m.tasks.put(next)
	m.events.add(Event{At: at, TaskID: next.ID, Type: next.Type, WorkerID: next.WorkerID, Reason: why,
		Attempt: next.Attempt.Number(), From: from, To: next.State})
	if m.Changed != nil && next.State != Timeout {
		m.Changed(next, from)
	}
	return next
}

// forget lets go of the n tasks that became terminal first.
func (m *Machine) forget(n uint64) {
	for ; n > 0 && m.finished.len() > 0; n-- {
		t := m.tasks.get(m.finished.pop())
		st := m.stats(t.Type)
		st.leave(t.State)
		st.Forgotten++
		if t.Key != "" {
			m.keys.remove(t.Key)
		}
		m.doneSize -= t.size()
		m.tasks.remove(t.ID)
		m.forgotten++
	}
}

// stats returns the counts of a type, which is known from then on.
func (m *Machine) stats(typ string) *TypeStats {
	if m.latest != nil && m.latest.Type == typ {
		return m.latest
	}
	st := m.types[typ]
	if st == nil {
		st = &TypeStats{Type: typ}
		m.types[typ] = st
	}
	m.latest = st
	return st
}

// intern keeps one copy of texts that recur, such as types and worker ids, which would otherwise each keep the record
// they stood in alive. It is emptied when it has grown large: that costs copies, not correctness.
type intern map[string]string

const maxInterned = 65536

func (in intern) get(s string) string {
	if kept, ok := in[s]; ok {
		return kept
	}
	return in.keep(strings.Clone(s))
}

// read returns the text that is next in r.
func (in intern) read(r *reader) string {
	raw := r.raw()
	if kept, ok := in[string(raw)]; ok { // makes no string
		return kept
	}
	return in.keep(string(raw))
}

func (in intern) keep(s string) string {
	if len(in) >= maxInterned {
		clear(in)
	}
	in[s] = s
	return s
}
