//go:build unix

package process

import (
	"fmt"
	"sync"
	"testing"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// load runs tasks of a type all the while, until stop, and returns all ids.
func load(t *testing.T, g *grid.Grid, typ, payload string) (stop func() []uint64) {
	c := g.Client()
	var ids []uint64
	var group sync.WaitGroup
	done := make(chan struct{})
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				ids = append(ids, submit(t, c, 4, typ, always(payload))...)
			}
		}
	})
	return func() []uint64 {
		close(done)
		group.Wait()
		return ids
	}
}

// allCompleted fails the test unless every task has COMPLETED, and returns them.
func allCompleted(t *testing.T, g *grid.Grid, ids []uint64) map[uint64]*pb.Task {
	t.Helper()
	tasks := waitAll(g.Context(), t, g.Client(), ids)
	for id, task := range tasks {
		if task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("task %d is %v (%s), want COMPLETED; it went %v", id, task.State, task.Error, steps(task))
		}
	}
	return tasks
}

// TestADrainingWorkerLosesNothing sends SIGTERM to one of two busy workers under load.
func TestADrainingWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	leaving := g.Worker("wait-1", "wait", "--capacity", "8", "--drain-grace", "2s")
	g.Worker("wait-2", "wait")
	g.Connected("wait-1", "wait-2")
	c := g.Client()
	stop := load(t, g, "wait", "50ms")
	tooLong := submit(t, c, 4, "wait", always("8s")) // longer than the grace, so handed back wherever it drains
	for _, id := range tooLong {
		inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	}
	leaving.Terminate()
	if code := leaving.Exited(); code != 0 {
		t.Errorf("the drained worker ended with exit code %d, want 0", code)
	}
	tasks := allCompleted(t, g, append(stop(), tooLong...))

	// The dispatcher learns of the drain before the worker refuses anything: none is refused, none handed over later.
	var draining time.Time
	for event, err := range c.Events(g.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if w := event.GetWorker(); w.GetWorkerId() == "wait-1" && w.GetTo() == "DRAINING" {
			draining = event.Time.AsTime()
		}
		if s := event.GetTask(); !draining.IsZero() && s.GetWorkerId() == "wait-1" && s.GetTo() == pb.TaskState_TASK_STATE_DISPATCHED {
			t.Errorf("task %d was handed to wait-1 at %v, after it began to drain at %v", s.Id, event.Time.AsTime(), draining)
		}
	}
	if draining.IsZero() {
		t.Error("no event says that wait-1 drains")
	}
	handedBack := 0
	for _, id := range tooLong {
		if tasks[id].Redeliveries > 0 {
			handedBack++
		}
	}
	t.Logf("%d tasks under load, %d of 4 long ones handed back", len(tasks), handedBack)
}

// TestScalingUpAndDownLosesNothing goes from one worker to three and back to one, under load.
func TestScalingUpAndDownLosesNothing(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("hash-1", "hash")
	g.Connected("hash-1")
	stop := load(t, g, "hash", "x")
	var more []*grid.Process
	for i := 2; i <= 3; i++ {
		more = append(more, g.Worker(fmt.Sprintf("hash-%d", i), "hash"))
	}
	g.Connected("hash-1", "hash-2", "hash-3")
	seen := map[string]bool{}
	c := g.Client()
	for len(seen) < 3 {
		ids := submit(t, c, 20, "hash", numbered)
		for _, task := range waitAll(g.Context(), t, c, ids) {
			seen[task.WorkerId] = true
		}
	}
	for _, p := range more {
		p.Terminate()
	}
	for _, p := range more {
		if code := p.Exited(); code != 0 {
			t.Errorf("a drained worker ended with exit code %d, want 0", code)
		}
	}
	tasks := allCompleted(t, g, stop())
	for id, task := range tasks {
		if task.Attempts != 1 {
			t.Errorf("task %d took %d attempts, want 1", id, task.Attempts)
		}
	}
}
