package drive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// Task is the measured task: reverse 32 bytes.
func Task() *pb.TaskSpec { return &pb.TaskSpec{Type: "reverse", Payload: Payload} }

// Stream is work that runs tasks over one stream of the client library, so many in flight. Next makes them.
func Stream(c *client.Client, inFlight int, next func() *pb.TaskSpec) func(context.Context, *Recorder) error {
	return func(ctx context.Context, r *Recorder) error {
		lane := r.Lane()
		var specs iter.Seq[*pb.TaskSpec] = func(yield func(*pb.TaskSpec) bool) {
			for !r.Over() && yield(next()) {
			}
		}
		for finished, err := range c.RunAll(ctx, inFlight, specs) {
			if err == nil {
				err = done(finished.Task, finished.Err)
			}
			if err != nil {
				return err
			}
			lane.Done(finished.Sent)
		}
		return ctx.Err()
	}
}

// Single is one task from submit to result, in calls of its own: SubmitTasks and WaitTasks.
func Single(c *client.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		task, err := c.Run(ctx, Task())
		return done(task, err)
	}
}

// done checks the end of a measured task.
func done(task *pb.Task, err error) error {
	switch {
	case err != nil:
		return err
	case task.GetState() != pb.TaskState_TASK_STATE_COMPLETED:
		return fmt.Errorf("task %d ended %v: %s", task.GetId(), task.GetState(), task.GetError())
	case task.GetType() == "reverse" && task.GetResult() != Reversed:
		return fmt.Errorf("task %d: result %q, want %q", task.GetId(), task.GetResult(), Reversed)
	}
	return nil
}

// Ready waits until the grid has done one task of each type, at most for patience.
func Ready(ctx context.Context, c *client.Client, patience time.Duration, specs ...*pb.TaskSpec) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, spec := range specs {
		for why := error(nil); ; {
			task, err := c.Run(ctx, spec)
			if err == nil {
				err = done(task, nil)
			}
			if err == nil {
				break
			}
			switch {
			case ctx.Err() == nil:
				why = err
			case why == nil:
				why = errors.New("a task waits, and nobody does it")
			}
			if ctx.Err() != nil {
				return fmt.Errorf("the grid was not ready for %s within %v: %w", spec.Type, patience, why)
			}
			retry := time.NewTimer(50 * time.Millisecond) // no worker has registered the type yet
			select {
			case <-retry.C:
			case <-ctx.Done():
			}
		}
	}
	return nil
}
