package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"taskgrid/dispatcher/core"
	"taskgrid/tests/checker"
)

// referee looks on and says what must not be. What can be seen from the outside it writes down, and tests/checker judges
// it, as it judges real processes; the rules here are those for which one must look into the grid.
type referee struct {
	*world
	verdict error // the first thing that was wrong
	looks   int

	judge   *checker.Judge
	events  []core.Event // room for those that are read
	active  []string     // the workers that the name service last named
	tasks   map[uint64]*record
	keys    map[string]key
	results map[string]bool // what handlers really returned: attempt and text
	handed  map[string]bool // attempts that were handed over, durably
	errands []*errand       // of all clients
}

// record is what the referee has seen of a task.
type record struct {
	state    core.State
	terminal *core.Task // the version it ended with
}

// key is whose an idempotency key is, and how many tasks had it that were forgotten: then it may be used again.
type key struct {
	task      uint64
	forgotten int
}

// limits are what the grid of a simulation promises: a handler that hangs keeps its slot for a minute, and a dispatcher
// that is paused, or whose disk is slow, acts on what it knew up to 18 s before.
var limits = checker.Limits{Pause: 5 * time.Second, Slack: 2 * time.Minute, Lag: 20 * time.Second}

func newReferee(w *world) *referee {
	return &referee{world: w, judge: checker.New(limits), tasks: map[uint64]*record{}, keys: map[string]key{}, results: map[string]bool{}, handed: map[string]bool{}}
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

// saw writes down a fact, and has it judged.
func (r *referee) saw(f checker.Fact) {
	r.judge.Add(f)
	if err := r.judge.Verdict(); err != nil {
		r.fail("%w", err)
	}
}

// follow reads the events that are new.
func (r *referee) follow() {
	m := r.dispatcher.machine
	if m.LastEvent() == r.judge.LastEvent() {
		return
	}
	r.events, _ = m.Events(r.judge.LastEvent(), keptEvents, r.events[:0])
	for _, e := range r.events {
		if e.TaskID == 0 {
			r.saw(checker.Change{At: r.now, Seq: e.Seq, Worker: e.WorkerID, Aspect: e.Aspect, From: e.Before, To: e.After})
			continue
		}
		r.saw(checker.Step{At: r.now, Seq: e.Seq, Task: e.TaskID, Type: e.Type, From: e.From, To: e.To, Attempt: e.Attempt, Worker: e.WorkerID, Reason: e.Reason})
	}
}

// executed notes what a handler returned.
func (r *referee) executed(wk *worker, o core.Outcome) {
	r.results[attemptName(wk.lease, o.Task, o.Token)+fmt.Sprint(o.How, o.Text)] = true
	r.saw(checker.Executed{At: r.now, Worker: wk.id, Task: o.Task, Token: o.Token, Result: o.Text, Failed: o.How != core.EndResult})
}

// listed notes whom the name services name.
func (r *referee) listed(known map[string]core.WorkerInfo) {
	var active []string
	for id, info := range known {
		if info.State == core.WorkerActive {
			active = append(active, id)
		}
	}
	if slices.Sort(active); !slices.Equal(active, r.active) {
		r.active = active
		r.saw(checker.Listed{At: r.now, Active: active})
	}
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
	k := r.keys[spec.Key]
	if k.task != 0 && k.task != s.Task.ID && r.dispatcher.machine.Task(k.task) == nil {
		k.forgotten++
	}
	k.task = s.Task.ID
	r.keys[spec.Key] = k
	r.saw(checker.Submitted{At: r.now, Key: fmt.Sprint(spec.Key, " after ", k.forgotten), ID: k.task, Type: spec.Type, Payload: spec.Payload,
		MaxAttempts: spec.MaxAttempts, AttemptTimeout: spec.AttemptTimeout, Duplicate: s.Duplicate})
}

// announced looks at the end of a task as a client is told.
func (r *referee) announced(t *core.Task) {
	r.saw(checker.Told{At: r.now, ID: t.ID, Type: t.Type, Payload: t.Payload, State: t.State, Result: t.Result, Error: t.Error, Attempts: uint32(t.Attempts),
		MaxAttempts: t.MaxAttempts, Redeliveries: uint32(t.Redeliveries), Worker: t.WorkerID})
	rec := r.tasks[t.ID]
	if rec == nil || rec.terminal == nil || rec.terminal.Error != t.Error {
		r.fail("a client is told that task %d ended %v because of %q, which it did not", t.ID, t.State, t.Error)
	}
}

// step looks at a step of a task: the result is that of this very process of the worker, which its lease tells.
func (r *referee) step(t *core.Task, from core.State) {
	r.say("task %d: %v -> %v, attempt %x on %s, %d attempts, %d redeliveries: %s%s", t.ID, from, t.State, uint64(t.Attempt), t.LeaseID, t.Attempts, t.Redeliveries, t.Error, t.Result)
	rec := r.tasks[t.ID]
	if rec == nil {
		rec = &record{}
		r.tasks[t.ID] = rec
	}
	name := attemptName(t.LeaseID, t.ID, t.Attempt)
	if t.State == core.Completed && !r.results[name+fmt.Sprint(core.EndResult, t.Result)] {
		r.fail("task %d COMPLETED with %q, which attempt %x on %s did not return", t.ID, t.Result, uint64(t.Attempt), t.LeaseID)
	}
	if t.State == core.Dispatched {
		r.handed[name] = true
	}
	rec.state = t.State
	if t.State.Terminal() {
		rec.terminal = t
	}
}

// look checks what must hold all the time.
func (r *referee) look() {
	r.follow()
	if r.looks++; r.looks%64 == 0 {
		r.inspect()
	}
}

// inspect compares machine, scheduler and what has been seen.
func (r *referee) inspect() {
	m := r.dispatcher.machine
	for _, st := range m.Stats() {
		r.saw(checker.Counted{At: r.now, Seq: m.LastEvent(), Type: st.Type, Submitted: st.Submitted, Queued: st.Queued, Running: st.Running,
			Retrying: st.Retrying, Completed: st.Completed, Failed: st.Failed, Cancelled: st.Cancelled, Forgotten: st.Forgotten})
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
	r.judge.Conclude(r.now)
	if err := r.judge.Verdict(); err != nil {
		r.fail("%w", err)
	}
}
