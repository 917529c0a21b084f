package simulation

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
	keys    map[string]uint64 // what each key's task was
	results map[string]bool   // what handlers really returned: attempt and text
	handed  map[string]bool   // attempts that were handed over, durably
	errands []*errand         // of all clients
}

// record is what the referee has seen of a task.
type record struct {
	state    core.State
	terminal *core.Task // the version it ended with
	accepted bool       // a client was told
}

func newReferee(w *world) *referee {
	return &referee{world: w, tasks: map[uint64]*record{}, keys: map[string]uint64{}, results: map[string]bool{}, handed: map[string]bool{}}
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
func (r *referee) executed(lease string, o core.Outcome) {
	r.results[attemptName(lease, o.Task, o.Token)+fmt.Sprint(o.How, o.Text)] = true
}

// assigned tells whether a worker has, had or may get an attempt.
func (r *referee) assigned(lease string, task uint64, token core.Token) bool {
	if r.handed[attemptName(lease, task, token)] {
		return true
	}
	// One that is on its way and not durable yet bears the number after the newest one.
	t := r.dispatcher.machine.Task(task)
	return t == nil || token.Number() > t.Attempt.Number()
}

// handingOver looks at what is sent to a worker.
func (r *referee) handingOver(wk *worker, messages []core.Message) {
	for _, m := range messages {
		if said := r.dispatcher.directory.known[wk.id].State; m.Kind == core.Assign && said != core.WorkerActive {
			r.fail("task %d is handed to %s, which is %v to the name service", m.Task, wk.id, said)
		}
	}
}

// acknowledged looks at the answer to a submission.
func (r *referee) acknowledged(spec *core.Spec, s core.Submitted) {
	if s.Task == nil {
		r.fail("key %q, which belongs to task %d, is refused", spec.Key, s.Other)
		return
	}
	rec := r.tasks[s.Task.ID]
	if rec == nil || rec.accepted && !s.Duplicate {
		r.fail("id %d was given out before, or belongs to no task", s.Task.ID)
		return
	}
	rec.accepted = true
	if id := r.keys[spec.Key]; id != 0 && id != s.Task.ID && r.dispatcher.machine.Task(id) != nil {
		r.fail("key %q belonged to task %d and belongs to task %d", spec.Key, id, s.Task.ID)
	}
	r.keys[spec.Key] = s.Task.ID
}

// announced looks at the end of a task as a client is told.
func (r *referee) announced(t *core.Task) {
	rec := r.tasks[t.ID]
	if rec == nil || rec.terminal == nil || rec.terminal.State != t.State || rec.terminal.Result != t.Result || rec.terminal.Error != t.Error {
		r.fail("a client is told that task %d ended %v %q %q, which it did not", t.ID, t.State, t.Result, t.Error)
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
	if r.looks++; r.looks%64 == 0 {
		r.inspect()
	}
}

// inspect compares machine, scheduler and what has been seen.
func (r *referee) inspect() {
	m := r.dispatcher.machine
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
	if s := r.dispatcher.scheduler; s != nil {
		if err := s.Check(); err != nil {
			r.fail("the scheduler contradicts itself: %v", err)
		}
	}
}

// unfinished says what has not come to an end.
func (r *referee) unfinished() (what []string) {
	for _, id := range slices.Sorted(maps.Keys(r.tasks)) {
		if rec := r.tasks[id]; rec.terminal == nil {
			what = append(what, fmt.Sprintf("task %d is %v", id, rec.state))
		}
	}
	for _, c := range r.clients {
		if n := c.flight.Len(); n > 0 {
			what = append(what, fmt.Sprintf("%s waits for %d tasks", c.name, n))
		}
	}
	return what
}

// conclude checks what must hold when everything has come to an end.
func (r *referee) conclude(submitted int) {
	r.inspect()
	if what := r.unfinished(); len(what) > 0 {
		r.fail("it stays so: %v", what)
	}
	ended := 0
	for _, e := range r.errands {
		if ended += e.ended; e.ended > 1 {
			r.fail("the client of %s was told of its end %d times", e.spec.Key, e.ended)
		}
	}
	if ended != submitted {
		r.fail("%d tasks were submitted, of %d a client was told the end", submitted, ended)
	}
	if r.dispatcher.scheduler == nil {
		r.fail("nobody leads")
		return
	}
	if loose := r.dispatcher.scheduler.Loose(); loose != (core.Loose{}) {
		r.fail("nothing is going on, and the scheduler holds %+v", loose)
	}
	for _, wk := range r.workers {
		if l := wk.slots.Load(); l.Held()+l.Unacknowledged > 0 {
			r.fail("nothing is going on, and %s has %d attempts and %d outcomes that nobody acknowledged", wk.id, l.Held(), l.Unacknowledged)
		}
	}
	r.checkEvents()
}

// checkEvents checks that the events that are kept follow one another.
func (r *referee) checkEvents() {
	m := r.dispatcher.machine
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
