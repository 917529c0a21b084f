//go:build unix

// Package process tests the built binary as real processes: kill -9, SIGSTOP, SIGTERM, restarts.
package process

import (
	"context"
	"fmt"
	"testing"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

func TestMain(m *testing.M) { grid.Main(m) }

// submit submits n tasks of a type, each with the payload that payload returns for its number.
func submit(t *testing.T, c *client.Client, n int, typ string, payload func(i int) string) []uint64 {
	t.Helper()
	specs := make([]*pb.TaskSpec, n)
	for i := range specs {
		specs[i] = &pb.TaskSpec{Type: typ, Payload: payload(i)}
	}
	ids := make([]uint64, n)
	for i, s := range c.SubmitMany(t.Context(), specs) {
		if s.Err != nil {
			t.Fatalf("submit %s %q: %v", typ, specs[i].Payload, s.Err)
		}
		ids[i] = s.ID
	}
	return ids
}

// always is a payload that does not depend on the number.
func always(payload string) func(int) string { return func(int) string { return payload } }

// numbered is a payload that tells the number.
func numbered(i int) string { return fmt.Sprint("n", i) }

// waitAll waits until all tasks have ended and returns them by id.
func waitAll(ctx context.Context, t *testing.T, c *client.Client, ids []uint64) map[uint64]*pb.Task {
	t.Helper()
	tasks := map[uint64]*pb.Task{}
	for task, err := range c.Wait(ctx, ids...) {
		if err != nil {
			t.Fatalf("wait for %d tasks, after %d: %v", len(ids), len(tasks), err)
		}
		tasks[task.Id] = task
	}
	if len(tasks) != len(ids) {
		t.Fatalf("waited for %d tasks, got %d", len(ids), len(tasks))
	}
	return tasks
}

// inState waits until the task is in the state and returns it.
func inState(g *grid.Grid, c *client.Client, id uint64, want pb.TaskState) *pb.Task {
	var task *pb.Task
	g.Eventually(fmt.Sprintf("task %d in %v", id, want), func(ctx context.Context) error {
		var err error
		if task, err = c.Get(ctx, id); err != nil {
			return err
		}
		if task.State != want {
			return fmt.Errorf("it is %v", task.State)
		}
		return nil
	})
	return task
}

// steps returns the states that a task went to, in order.
func steps(task *pb.Task) []string {
	var to []string
	for _, s := range task.History {
		to = append(to, s.To.String()[len("TASK_STATE_"):])
	}
	return to
}

// submitEventually submits a task, trying again while nobody can do it, and waits for its end.
func submitEventually(g *grid.Grid, c *client.Client, typ, payload string) {
	g.Eventually("a task of type "+typ+" is done", func(ctx context.Context) error {
		_, err := c.Run(ctx, &pb.TaskSpec{Type: typ, Payload: payload})
		return err
	})
}
