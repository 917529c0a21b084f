package core_test

import (
	"fmt"
	"maps"
	"slices"

	"taskgrid/dispatcher/core"
)

// referee looks on and says what must not be.
type referee struct {
	*world
	verdict error // the first thing that was wrong
	looks   int

	tasks   map[uint64]*record
	results map[string]bool // what workers really returned: lease, task, token and text
	handed  map[string]bool // hand-overs that were made durable, or may be: lease, task, token
	faults  map[string]int
}

// record is what the referee has seen of a task.
type record struct {
	state    core.State
	terminal *core.Task // the version it ended with
	accepted bool       // a client was told
}

func newReferee(w *world) *referee {
	return &referee{world: w, tasks: map[uint64]*record{}, results: map[string]bool{}, handed: map[string]bool{}, faults: map[string]int{}}
}

func (r *referee) fail(format string, args ...any) {
	if r.verdict == nil {
		r.verdict = fmt.Errorf(format, args...)
		r.say("WRONG: %v", r.verdict)
	}
}

func attemptName(lease string, task uint64, token core.Token) string {
	return fmt.Sprintf("%s/%d/%x", lease, task, uint64(token))
}

// executed notes what a handler is going to return.
func (r *referee) executed(worker, lease string, o core.Outcome) {
	r.results[attemptName(lease, o.Task, o.Token)+fmt.Sprint(o.How, o.Text)] = true
}

// assigned tells whether a worker has, had or may get an attempt.
func (r *referee) assigned(lease string, task uint64, token core.Token) bool {
	if r.handed[attemptName(lease, task, token)] {
		return true
	}
	// One that is on its way and not durable yet bears the number after the newest one.
	t := r.leader.machine.Task(task)
	return t == nil || token.Number() > t.Attempt.Number()
}

// handingOver looks at what is sent to a worker.
func (r *referee) handingOver(wk *worker, messages []core.Message) {
	for _, m := range messages {
		if m.Kind == core.Assign && wk.told != core.WorkerActive {
			r.fail("task %d is handed to %s, which is %v to the name service", m.Task, wk.id, wk.told)
		}
	}
}

// step looks at a step of a task.
func (r *referee) step(t *core.Task, from core.State) {
	r.say("task %d: %v -> %v, attempt %x on %s, %d attempts, %d redeliveries: %s%s", t.ID, from, t.State, uint64(t.Attempt), t.LeaseID, t.Attempts, t.Redeliveries, t.Error, t.Result)
	rec := r.tasks[t.ID]
	if rec == nil {
		rec = &record{}
		r.tasks[t.ID] = rec
	}
	was := rec.state
	if from == core.Timeout && was.Running() { // passed through without a word
		was = core.Timeout
	}
	switch {
	case rec.terminal != nil:
		r.fail("task %d ended %v and then became %v", t.ID, rec.terminal.State, t.State)
	case was != from || !core.Legal(from, t.State):
		r.fail("task %d was %v and went from %v to %v", t.ID, rec.state, from, t.State)
	case uint32(t.Attempts) > t.MaxAttempts || t.Redeliveries > core.MaxRedeliveries:
		r.fail("task %d has had %d attempts of %d, %d redeliveries", t.ID, t.Attempts, t.MaxAttempts, t.Redeliveries)
	case t.State == core.Completed && !r.results[attemptName(t.LeaseID, t.ID, t.Attempt)+fmt.Sprint(core.EndResult, t.Result)]:
		r.fail("task %d COMPLETED with %q, which attempt %x on %s did not return", t.ID, t.Result, uint64(t.Attempt), t.LeaseID)
	}
	if t.State == core.Dispatched {
		name := attemptName(t.LeaseID, t.ID, t.Attempt)
		if r.handed[name] {
			r.fail("attempt %s was handed over twice", name)
		}
		r.handed[name] = true
	}
	rec.state = t.State
	if t.State.Terminal() {
		rec.terminal = t
	}
}

// look checks what must hold all the time.
func (r *referee) look() {
	if r.looks++; r.looks%16 == 0 {
		r.inspect()
	}
}

// inspect compares machine, scheduler and what has been seen.
func (r *referee) inspect() {
	m := r.leader.machine
	for _, st := range m.Stats() {
		if sum := st.Queued + st.Running + st.Retrying + st.Completed + st.Failed + st.Cancelled + st.Forgotten; sum != st.Submitted {
			r.fail("type %s: %d submitted, %d in all states", st.Type, st.Submitted, sum)
		}
	}
	missing := uint64(0)
	for id := uint64(1); id <= m.LastID(); id++ {
		t, rec := m.Task(id), r.tasks[id]
		switch {
		case rec == nil:
			r.fail("task %d has come to be without a step", id)
		case t == nil && rec.terminal == nil:
			r.fail("task %d was %v and is gone", id, rec.state)
		case t == nil:
			missing++
		case t.State != rec.state || rec.terminal != nil && (t.Result != rec.terminal.Result || t.Error != rec.terminal.Error || t.Ended != rec.terminal.Ended):
			r.fail("task %d was %v and is %v without a step", id, rec.state, t.State)
		}
	}
	if missing != m.Forgotten() || uint64(len(r.tasks)) != m.LastID() {
		r.fail("%d tasks seen, %d of them gone; the machine has given out %d ids and forgotten %d", len(r.tasks), missing, m.LastID(), m.Forgotten())
	}
	if r.leader.scheduler != nil {
		if err := r.leader.scheduler.Check(); err != nil {
			r.fail("the scheduler contradicts itself: %v", err)
		}
		r.checkSlots()
	}
}

func (r *referee) checkSlots() {
	taken := r.leader.scheduler.Taken()
	for _, id := range slices.Sorted(maps.Keys(taken)) {
		// More than it has may only be what it said to have itself.
		if n := taken[id]; n[0] > n[1] {
			r.fail("%s has %d slots taken, at most %d are there", id, n[0], n[1])
		}
	}
}

// unfinished returns the tasks that are not terminal.
func (r *referee) unfinished() (ids []uint64) {
	for _, id := range slices.Sorted(maps.Keys(r.tasks)) {
		if r.tasks[id].terminal == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// conclude checks what must hold when everything has come to an end.
func (r *referee) conclude() {
	r.inspect()
	for _, id := range r.unfinished() {
		r.fail("task %d is %v and stays so: %+v", id, r.tasks[id].state, r.leader.machine.Task(id))
	}
	if r.leader.scheduler == nil {
		r.fail("nobody leads")
		return
	}
	if loose := r.leader.scheduler.Loose(); loose != (core.Loose{}) {
		r.fail("nothing is going on, and the scheduler holds %+v", loose)
	}
	for _, wk := range r.workers {
		if len(wk.attempts)+len(wk.outcomes) > 0 {
			r.fail("nothing is going on, and %s has %d attempts and %d outcomes that nobody acknowledged", wk.id, len(wk.attempts), len(wk.outcomes))
		}
	}
	r.checkEvents()
}

// checkEvents checks that the events that are kept follow one another.
func (r *referee) checkEvents() {
	m := r.leader.machine
	events, ok := m.Events(m.FirstEvent()-1, keptEvents, nil)
	if !ok || uint64(len(events)) != m.LastEvent()-m.FirstEvent()+1 {
		r.fail("%d events from %d to %d are kept", len(events), m.FirstEvent(), m.LastEvent())
	}
	at := map[uint64]core.State{}
	for i, e := range events {
		if e.Seq != m.FirstEvent()+uint64(i) {
			r.fail("event %d stands at the place of %d", e.Seq, m.FirstEvent()+uint64(i))
		}
		if e.TaskID == 0 {
			continue
		}
		if was, seen := at[e.TaskID]; seen && was != e.From || !core.Legal(e.From, e.To) {
			r.fail("event %d takes task %d from %v to %v; it was %v", e.Seq, e.TaskID, e.From, e.To, was)
		}
		at[e.TaskID] = e.To
	}
}
