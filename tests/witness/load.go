package witness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"taskgrid/client"
	"taskgrid/client/load"
	pb "taskgrid/proto/taskgrid/v1"
)

// Load submits tasks of all types at a steady rate, waits for each, and tells the witness of every answer. Some tasks are
// submitted again under their keys, some are cancelled, some are looked at while they run.
type Load struct {
	Witness *Witness
	Clients []*client.Client
	Rate    int      // tasks a second
	Types   []string // beside the built-in types; their payloads do not matter
	Seed    uint64

	Wrong func(format string, args ...any) // hears of results that are not what the payload asks for

	Submitted, Ended, Cancelled, Again atomic.Int64 // counts of answers

	waiting sync.WaitGroup
}

// tick is how often the load submits; what is due goes together.
const tick = 50 * time.Millisecond

// Run submits until stop is closed, and then waits until all tasks have ended, but not longer than ctx.
func (l *Load) Run(ctx context.Context, stop <-chan struct{}) {
	dice := rand.New(rand.NewPCG(l.Seed, 1))
	cases := load.NewCases(l.Seed)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer l.waiting.Wait()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		batch := make([]load.Case, max(1, l.Rate*int(tick)/int(time.Second)))
		for i := range batch {
			if kinds := len(l.Types); kinds > 0 && dice.IntN(3) == 0 {
				batch[i] = load.Case{Type: l.Types[dice.IntN(kinds)], Payload: fmt.Sprint(n)}
			} else {
				batch[i] = cases.Next()
			}
		}
		c, luck := l.Clients[n%len(l.Clients)], dice.IntN(20)
		if n%4 == 0 {
			l.waiting.Go(func() { l.stream(ctx, c, n, batch) })
		} else {
			l.waiting.Go(func() { l.batch(ctx, c, n, luck, batch) })
		}
	}
}

// specs returns the tasks of a batch, with keys.
func (l *Load) specs(n int, batch []load.Case) []*pb.TaskSpec {
	specs := make([]*pb.TaskSpec, len(batch))
	for i, one := range batch {
		specs[i] = &pb.TaskSpec{Type: one.Type, Payload: one.Payload, IdempotencyKey: fmt.Sprintf("%d-%d-%d", l.Seed, n, i)}
	}
	return specs
}

// batch submits tasks, and then, as luck has it, does something more with them before it waits for their ends.
func (l *Load) batch(ctx context.Context, c *client.Client, n, luck int, batch []load.Case) {
	specs := l.specs(n, batch)
	cases := l.submit(ctx, c, specs, batch)
	var ids []uint64
	for id := range cases {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return
	}
	switch luck {
	case 0: // as after a crash of the client
		l.Again.Add(int64(len(specs)))
		l.submit(ctx, c, specs, batch)
	case 1:
		if changed, err := c.Cancel(ctx, "the load has changed its mind", ids[0]); err == nil && changed[0].Err == nil {
			l.Cancelled.Add(1)
		}
		delete(cases, ids[0]) // it may have ended before
	case 2, 3:
		if err := l.Witness.Read(ctx, c, ids); err != nil && ctx.Err() == nil {
			l.Wrong("get %v: %v", ids, err)
		}
	}
	asked := time.Now()
	for task, err := range c.Wait(ctx, ids...) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.Wrong("wait for %v: %v", ids, err)
			return
		}
		l.Ended.Add(1)
		l.Witness.Add(Task(asked, task))
		l.compare(cases[task.Id], task)
	}
}

// submit submits tasks and returns what became of each accepted one, by id.
func (l *Load) submit(ctx context.Context, c *client.Client, specs []*pb.TaskSpec, batch []load.Case) map[uint64]load.Case {
	cases := map[uint64]load.Case{}
	for i, s := range c.SubmitMany(ctx, specs) {
		if s.Err != nil {
			if ctx.Err() == nil {
				l.Wrong("submit %s %q: %v", specs[i].Type, specs[i].Payload, s.Err)
			}
			continue
		}
		l.Submitted.Add(1)
		l.Witness.Add(Accepted(specs[i], s.ID, s.Duplicate))
		cases[s.ID] = batch[i]
	}
	return cases
}

// stream does the same over RunTasks. There the acknowledgement is inside of the library: it is known when the task ends.
func (l *Load) stream(ctx context.Context, c *client.Client, n int, batch []load.Case) {
	cases := map[string]load.Case{}
	specs := l.specs(n, batch)
	for i, spec := range specs {
		cases[spec.IdempotencyKey] = batch[i]
	}
	asked := time.Now()
	yield := func(yield func(*pb.TaskSpec) bool) {
		for _, spec := range specs {
			if !yield(spec) {
				return
			}
		}
	}
	for f, err := range c.RunAll(ctx, len(specs), yield) {
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = f.Err
		}
		if err != nil {
			l.Wrong("run %d tasks: %v", len(specs), err)
			return
		}
		l.Submitted.Add(1)
		l.Ended.Add(1)
		l.Witness.Add(Accepted(f.Spec, f.Task.Id, false), Task(asked, f.Task))
		l.compare(cases[f.Spec.IdempotencyKey], f.Task)
	}
}

// compare compares the end of a task with what the payload asks for. Faults may fail a good task, in words, but never
// give it another result.
func (l *Load) compare(want load.Case, task *pb.Task) {
	switch {
	case want.Bad && task.State != pb.TaskState_TASK_STATE_FAILED:
		l.Wrong("task %d, %s %q, is %v, want FAILED", task.Id, task.Type, want.Payload, task.State)
	case want.Want != "" && task.State == pb.TaskState_TASK_STATE_COMPLETED && task.GetResult() != want.Want:
		l.Wrong("task %d, %s %q, has the result %q, want %q", task.Id, task.Type, want.Payload, task.GetResult(), want.Want)
	}
}
