//go:build unix

package process

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestNoTaskIsLostWhenTheDispatcherIsKilled kills the dispatcher with 1,000 tasks queued and 20 running.
func TestNoTaskIsLostWhenTheDispatcherIsKilled(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	dispatcher := g.Dispatcher()
	g.Worker("wait-1", "wait", "--capacity", "20")
	hash := g.Worker("hash-1", "hash")
	g.Connected("wait-1", "hash-1")
	c := g.Client()
	hash.Kill() // so that its tasks queue
	running := submit(t, c, 20, "wait", always("6s"))
	for _, id := range running {
		inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	}
	queued := submit(t, c, 1000, "hash", numbered)

	all := append(slices.Clone(running), queued...)
	waited := make(chan map[uint64]*pb.Task, 1)
	ctx := g.Context()
	go func() { waited <- waitAll(ctx, t, c, all) }() // a client that waits all the while
	g.Eventually("the client waits", func(context.Context) error { return nil })

	dispatcher.Kill()
	dispatcher.Start()
	hash.Start()

	tasks := <-waited
	for _, id := range all {
		if task := tasks[id]; task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("task %d is %v (%s), want COMPLETED", id, task.State, task.Error)
		}
	}
	last := slices.Max(all)
	if next := submit(t, c, 1, "hash", always("x"))[0]; next <= last {
		t.Errorf("after the restart a task got id %d, want more than %d", next, last)
	}
}

// TestARunningTaskIsAdoptedByARestartedDispatcher kills the dispatcher while a long task runs.
func TestARunningTaskIsAdoptedByARestartedDispatcher(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	dispatcher := g.Dispatcher()
	g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	c := g.Client()
	begin := time.Now()
	id := submit(t, c, 1, "wait", always("14"))[0] // beyond --adopt-grace
	inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	dispatcher.Kill()
	dispatcher.Start()
	task := waitAll(g.Context(), t, c, []uint64{id})[id]
	if want := []string{"CREATED", "QUEUED", "DISPATCHED", "PROCESSING", "COMPLETED"}; !slices.Equal(steps(task), want) {
		t.Errorf("the task went %v, want %v", steps(task), want)
	}
	if task.Attempts != 1 || task.Redeliveries != 0 {
		t.Errorf("%d attempts and %d redeliveries, want 1 and 0", task.Attempts, task.Redeliveries)
	}
	if took := time.Since(begin); took > 28*time.Second {
		t.Errorf("it took %v: it must have run twice", took)
	}
}

// TestATaskMovesOnWhenItsWorkerIsKilled kills one of two workers in the middle of a task.
func TestATaskMovesOnWhenItsWorkerIsKilled(t *testing.T) {
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	workers := map[string]*grid.Process{"wait-1": g.Worker("wait-1", "wait"), "wait-2": g.Worker("wait-2", "wait")}
	g.Connected("wait-1", "wait-2")
	c := g.Client()
	const tries = 3 // other tests keep the processors busy: the best counts
	best := time.Hour
	for try := 1; try <= tries && best > 100*time.Millisecond; try++ {
		best = min(best, movesOn(t, g, c, workers))
	}
	if best > 100*time.Millisecond {
		t.Errorf("RETRYING came %v after the kill, want at most 100ms", best)
	}
}

// movesOn kills the worker that runs a task, and returns how long after that the task is RETRYING. Then the worker is
// back.
func movesOn(t *testing.T, g *grid.Grid, c *client.Client, workers map[string]*grid.Process) (after time.Duration) {
	t.Helper()
	id := submit(t, c, 1, "wait", always("5s"))[0]
	first := inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING).WorkerId
	workers[first].Kill()
	killed := time.Now()
	task := waitAll(g.Context(), t, c, []uint64{id})[id]
	if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.WorkerId == first {
		t.Errorf("the task is %v on %s, want COMPLETED on another worker than %s", task.State, task.WorkerId, first)
	}
	if task.Attempts != 1 || task.Redeliveries != 1 {
		t.Errorf("%d attempts and %d redeliveries, want 1 and 1", task.Attempts, task.Redeliveries)
	}
	workers[first].Start()
	g.Connected(slices.Collect(maps.Keys(workers))...)
	for _, s := range task.History {
		if s.To == pb.TaskState_TASK_STATE_RETRYING {
			return s.Time.AsTime().Sub(killed)
		}
	}
	t.Fatalf("the task went %v, want RETRYING among them", steps(task))
	return 0
}

// TestATaskWaitsForItsOnlyWorkerToComeBack kills the only worker in the middle of a task.
func TestATaskWaitsForItsOnlyWorkerToComeBack(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	worker := g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	c := g.Client()
	id := submit(t, c, 1, "wait", always("5s"))[0]
	inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	worker.Kill()
	inState(g, c, id, pb.TaskState_TASK_STATE_QUEUED)
	worker.Start()
	if task := waitAll(g.Context(), t, c, []uint64{id})[id]; task.GetResult() != "waited 5s" {
		t.Errorf("the task is %v with result %q, want \"waited 5s\"", task.State, task.GetResult())
	}
}

// TestTheGridGoesOnWithoutItsNameService kills the name service, submits, and starts it again.
func TestTheGridGoesOnWithoutItsNameService(t *testing.T) {
	g := grid.New(t)
	names := g.Nameservice()
	g.Dispatcher()
	ids := []string{"reverse-1", "hash-1", "wait-1"}
	for _, id := range ids {
		g.Worker(id, id[:len(id)-2])
	}
	g.Connected(ids...)
	// Two heartbeats of a second, and what starting a process to ask takes.
	const most, tries = 2500 * time.Millisecond, 3 // other tests keep the processors busy: the best counts
	best := time.Hour
	for try := 1; try <= tries && best > most; try++ {
		best = min(best, fullAgain(t, g, names, ids))
	}
	if best > most {
		t.Errorf("the name service was full again after %v, want two heartbeats", best)
	}
}

// fullAgain kills the name service, has tasks done without it, starts it again, and returns how long after it answers it
// knows the workers.
func fullAgain(t *testing.T, g *grid.Grid, names *grid.Process, workers []string) time.Duration {
	t.Helper()
	c := g.Direct()
	names.Kill()
	for range 20 {
		task, err := c.Run(t.Context(), &pb.TaskSpec{Type: "reverse", Payload: "hello"})
		if err != nil || task.GetResult() != "olleh" {
			t.Fatalf("without the name service: %v, %v, want olleh", task.GetResult(), err)
		}
	}
	names.Start()
	var up time.Time
	g.Eventually("the name service answers", func(context.Context) error {
		if _, stderr, code := g.Run("health", g.NS); code != 0 {
			return fmt.Errorf("health: %s", stderr)
		}
		up = time.Now()
		return nil
	})
	g.Eventually("the name service is full again", func(context.Context) error {
		out, _, _ := g.Verb("workers", "-o", "jsonl")
		if n := countLines(out); n != len(workers) {
			return fmt.Errorf("it lists %d workers, want %d", n, len(workers))
		}
		return nil
	})
	return time.Since(up)
}

// TestNobodyNoticesThatMonitoringDies kills monitoring under load.
func TestNobodyNoticesThatMonitoringDies(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("hash-1", "hash")
	monitoring := g.Monitoring()
	g.Connected("hash-1")
	c := g.Client()
	ids := submit(t, c, 200, "hash", numbered)
	monitoring.Kill()
	ids = append(ids, submit(t, c, 200, "hash", numbered)...)
	for id, task := range waitAll(g.Context(), t, c, ids) {
		if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 {
			t.Errorf("task %d is %v after %d attempts, want COMPLETED after 1", id, task.State, task.Attempts)
		}
	}
}

func countLines(s string) int {
	n := 0
	for _, c := range s {
		if c == '\n' {
			n++
		}
	}
	return n
}
