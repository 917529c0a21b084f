package checker

import (
	"fmt"
	"time"

	"taskgrid/dispatcher/core"
)

// Limits are what the grid was configured with, as far as the rules need it.
type Limits struct {
	MaxAttempts    uint32        // of tasks that do not say; 0: 4
	AttemptTimeout time.Duration // of tasks that do not say; 0: 60 s
	Pause          time.Duration // the longest between two attempts; 0: 15 s
	Slack          time.Duration // what a task may take beyond its attempts: to be noticed as lost, and to wait in its queue
	Lag            time.Duration // how long after an answer of the name service the dispatcher may act on the one before it
	Keep           int           // how many ended tasks are kept at least; 0: all, for ever
}

// Judge takes the facts of one history. It is not safe for concurrent use. The zero Judge is not usable; see New.
type Judge struct {
	limits     Limits
	violations []*Violation
	count      int

	tasks   map[uint64]*task
	order   []uint64 // of the tasks, as they were first heard of
	keys    map[string]Submitted
	last    Fact   // the newest event
	lastSeq uint64 // its number
	ended   int    // terminal steps
	watched bool   // there were steps
	records bool   // there were executions
	missing []missed

	named   map[string][]span // by worker: when the name service named it
	changed map[string]Change // by worker: the newest change of its state
	counts  map[string]Counted
	served  map[string][]span // by type
}

// task is what was seen of one task.
type task struct {
	submitted Submitted // the first acknowledgement; ID 0: none
	steps     []Step
	executed  []Executed
	terminal  Told // the first time somebody was told that it is terminal; ID 0: never
	ordinal   int  // which terminal step of all it was; 0: none
}

// stands is the task's state by its steps.
func (t *task) stands() core.State {
	if len(t.steps) == 0 {
		return core.None
	}
	return t.steps[len(t.steps)-1].To
}

// newest returns the newest step to one of the states.
func (t *task) newest(is func(core.State) bool) (Step, bool) {
	for i := len(t.steps) - 1; i >= 0; i-- {
		if is(t.steps[i].To) {
			return t.steps[i], true
		}
	}
	return Step{}, false
}

// handOver returns the newest hand-over.
func (t *task) handOver() (Step, bool) {
	return t.newest(func(s core.State) bool { return s == core.Dispatched })
}

// span is a time during which something held. An open one has no end yet.
type span struct {
	begin, end Fact
}

// missed is a question that was answered with "there is no such task".
type missed struct {
	told  Told
	shown []Fact
}

// New returns a judge that has seen nothing.
func New(limits Limits) *Judge {
	if limits.MaxAttempts == 0 {
		limits.MaxAttempts = 4
	}
	if limits.AttemptTimeout == 0 {
		limits.AttemptTimeout = time.Minute
	}
	if limits.Pause == 0 {
		limits.Pause = 15 * time.Second
	}
	return &Judge{limits: limits, tasks: map[uint64]*task{}, keys: map[string]Submitted{}, named: map[string][]span{},
		changed: map[string]Change{}, counts: map[string]Counted{}, served: map[string][]span{}}
}

// LastEvent returns the number of the newest event that was added.
func (j *Judge) LastEvent() uint64 { return j.lastSeq }

// Path returns the states that a task has come to, in order.
func (j *Judge) Path(id uint64) []core.State {
	var path []core.State
	if t := j.tasks[id]; t != nil {
		for _, s := range t.steps {
			path = append(path, s.To)
		}
	}
	return path
}

// Tasks returns the ids of all tasks that were heard of, in the order in which they were.
func (j *Judge) Tasks() []uint64 { return j.order }

func (j *Judge) task(id uint64) *task {
	t := j.tasks[id]
	if t == nil {
		t = &task{}
		j.tasks[id] = t
		j.order = append(j.order, id)
	}
	return t
}

// Add takes the next fact and judges what it alone can break.
func (j *Judge) Add(fact Fact) {
	switch f := fact.(type) {
	case Submitted:
		j.submitted(f)
	case Told:
		j.told(f)
	case Step:
		j.numbered(f.Seq, f)
		j.step(f)
	case Change:
		j.numbered(f.Seq, f)
		if f.Aspect == "state" {
			j.changed[f.Worker] = f
		}
	case Executed:
		j.records = true
		t := j.task(f.Task)
		t.executed = append(t.executed, f)
	case Listed:
		j.listed(f)
	case Counted:
		j.counted(f)
	case Serves:
		j.serves(f)
	default:
		panic(fmt.Sprintf("checker: no rule knows a %T", fact))
	}
}

// numbered judges the numbers of events.
func (j *Judge) numbered(seq uint64, f Fact) {
	switch {
	case seq == 0:
		return
	case seq != j.lastSeq+1 && j.last == nil:
		j.violated(Stream, []Fact{f}, "the first event has number %d", seq)
	case seq != j.lastSeq+1:
		j.violated(Stream, []Fact{j.last, f}, "event %d follows event %d", seq, j.lastSeq)
	}
	j.last, j.lastSeq = f, seq
}

// submitted judges an acknowledgement: which id stands for which submission.
func (j *Judge) submitted(f Submitted) {
	if f.Key != "" {
		if first, seen := j.keys[f.Key]; !seen {
			j.keys[f.Key] = f
		} else if first.ID != f.ID {
			j.violated(Key, []Fact{first, f}, "key %q gave task %d and task %d", f.Key, first.ID, f.ID)
		}
	}
	t := j.task(f.ID)
	switch first := t.submitted; {
	case first.ID == 0:
		t.submitted = f
	case first.Key != f.Key || f.Key == "":
		j.violated(IDs, []Fact{first, f}, "id %d was given to two submissions", f.ID)
	}
}

// told judges an answer about a task.
func (j *Judge) told(f Told) {
	asked := f.Asked
	if asked.IsZero() {
		asked = f.At
	}
	t := j.task(f.ID)
	accepted := t.submitted.ID != 0 && !t.submitted.At.After(asked)
	switch {
	case f.Missing:
		if accepted {
			j.missing = append(j.missing, missed{f, []Fact{t.submitted, f}})
		}
		return
	case accepted && (t.submitted.Type != f.Type || f.Payload != "" && t.submitted.Payload != f.Payload):
		j.violated(Kept, []Fact{t.submitted, f}, "task %d is another one: %s %s", f.ID, f.Type, short(f.Payload))
	}
	if f.MaxAttempts != 0 && f.Attempts > f.MaxAttempts || f.Redeliveries > core.MaxRedeliveries {
		j.violated(Attempts, []Fact{f}, "task %d has had %d attempts of %d, and %d redeliveries of %d", f.ID, f.Attempts, f.MaxAttempts, f.Redeliveries, core.MaxRedeliveries)
	}
	switch before := t.terminal; {
	case before.ID == 0 && f.State.Terminal():
		t.terminal = f
	case before.ID == 0 || asked.Before(before.At): // the answers may have overtaken each other
	case before.State != f.State || before.Result != f.Result || before.Error != f.Error || before.Worker != f.Worker || before.Attempts != f.Attempts:
		j.violated(Immutable, []Fact{before, f}, "task %d had ended and changed", f.ID)
	}
}

// step judges a step of a task.
func (j *Judge) step(f Step) {
	j.watched = true
	t := j.task(f.Task)
	stands := t.stands()
	before := func() []Fact {
		if len(t.steps) == 0 {
			return []Fact{f}
		}
		return []Fact{t.steps[len(t.steps)-1], f}
	}
	switch {
	case stands.Terminal() && f.To.Terminal():
		j.violated(Once, before(), "task %d ended as %v and again as %v", f.Task, stands, f.To)
	case stands.Terminal() && f.To != core.Created:
		j.violated(Immutable, before(), "task %d had ended as %v and became %v", f.Task, stands, f.To)
	case f.To == core.Created && stands != core.None:
		j.violated(IDs, []Fact{t.steps[0], f}, "id %d was given out while there was a task of that id", f.Task)
	case !core.Legal(f.From, f.To):
		j.violated(Legal, []Fact{f}, "the table does not have %s -> %v", name(f.From), f.To)
	case f.From != stands:
		j.violated(Legal, before(), "task %d was %s and goes from %s to %v", f.Task, name(stands), name(f.From), f.To)
	}
	switch f.To {
	case core.Dispatched:
		j.handedOver(t, f)
	case core.Completed:
		if current, ok := t.handOver(); ok && current.Attempt != f.Attempt {
			j.violated(Result, []Fact{current, f}, "task %d ended with hand-over %d while hand-over %d was current", f.Task, f.Attempt, current.Attempt)
		}
	}
	t.steps = append(t.steps, f)
	if f.To.Terminal() && t.ordinal == 0 {
		j.ended++
		t.ordinal = j.ended
	}
}

// handedOver judges a hand-over before it is entered: its token, and what the event stream says of its worker.
func (j *Judge) handedOver(t *task, f Step) {
	if before, ok := t.handOver(); ok && before.Attempt >= f.Attempt {
		j.violated(Token, []Fact{before, f}, "task %d was handed over under %d after %d", f.Task, f.Attempt, before.Attempt)
	}
	if state, ok := j.changed[f.Worker]; ok && state.To != "ACTIVE" {
		j.violated(Named, []Fact{state, f}, "task %d was handed to %s, which was %q to the dispatcher itself", f.Task, f.Worker, state.To)
	}
}

// listed notes from when to when each worker was named.
func (j *Judge) listed(f Listed) {
	named := map[string]bool{}
	for _, worker := range f.Active {
		named[worker] = true
		if spans := j.named[worker]; len(spans) == 0 || spans[len(spans)-1].end != nil {
			j.named[worker] = append(spans, span{begin: f})
		}
	}
	if f.Partial {
		return
	}
	for worker, spans := range j.named {
		if newest := &spans[len(spans)-1]; newest.end == nil && !named[worker] {
			newest.end = f
		}
	}
}

// counted judges a sample of the counts by itself.
func (j *Judge) counted(f Counted) {
	if sum := f.Queued + f.Running + f.Retrying + f.Completed + f.Failed + f.Cancelled + f.Forgotten; sum != f.Submitted {
		j.violated(Conserved, []Fact{f}, "%d were submitted, but %d are in all states", f.Submitted, sum)
	}
	if before, ok := j.counts[f.Type]; ok && f.Submitted < before.Submitted {
		j.violated(Conserved, []Fact{before, f}, "the count of submissions fell from %d to %d", before.Submitted, f.Submitted)
	}
	j.counts[f.Type] = f
}

// serves notes from when to when a type was served.
func (j *Judge) serves(f Serves) {
	spans := j.served[f.Type]
	switch open := len(spans) > 0 && spans[len(spans)-1].end == nil; {
	case !f.Off && !open:
		j.served[f.Type] = append(spans, span{begin: f})
	case f.Off && open:
		spans[len(spans)-1].end = f
	}
}
