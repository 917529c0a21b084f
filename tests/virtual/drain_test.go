package virtual

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// brief is a handler that takes 200 ms.
var brief = map[string]workers.Handler{"brief": func(ctx context.Context, payload string) (string, error) {
	select {
	case <-time.After(200 * time.Millisecond):
		return payload, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}}

// load submits n tasks of type brief, one each 10 ms, and returns when all have ended.
func load(g *Grid, n int) map[uint64]*pb.Task {
	var ids []uint64
	for range n {
		ids = append(ids, g.Submit("brief", "x"))
		time.Sleep(10 * time.Millisecond)
	}
	return g.Wait(ids...)
}

func capacity(n int) func(*workers.Config) { return func(c *workers.Config) { c.Capacity = n } }

// checkDrained checks that nothing was handed over to a worker after the dispatcher had learnt that it drains.
func checkDrained(t *testing.T, g *Grid, worker string) {
	t.Helper()
	draining := false
	for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if w := e.GetWorker(); w.GetWorkerId() == worker && w.Aspect == "state" {
			draining = w.To == "DRAINING"
		}
		if s := e.GetTask(); draining && s.GetWorkerId() == worker && s.To == pb.TaskState_TASK_STATE_DISPATCHED {
			t.Errorf("event %d: task %d was handed to %s, which drains", e.Sequence, s.Id, worker)
		}
	}
}

func TestScalingUpAndDownUnderLoadFailsAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		w1 := g.StartWorker("w1", brief, capacity(8))
		g.AwaitWorker("w1")
		done := make(chan map[uint64]*pb.Task)
		go func() { done <- load(g, 400) }() // 4 s
		time.Sleep(time.Second)
		g.StartWorker("w2", brief, capacity(8))
		w3 := g.StartWorker("w3", brief, capacity(8))
		time.Sleep(time.Second)
		w1.Stop() // drains
		time.Sleep(500 * time.Millisecond)
		w3.Stop()
		workedOn := map[string]int{}
		for id, task := range <-done {
			workedOn[task.WorkerId]++
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
				t.Errorf("task %d ended %v after %d attempts and %d redeliveries: %s", id, task.State, task.Attempts, task.Redeliveries, task.Error)
			}
		}
		if len(workedOn) != 3 {
			t.Errorf("tasks by worker: %v; want all three to have had some", workedOn)
		}
		checkDrained(t, g, "w1")
		checkDrained(t, g, "w3")
		g.Status()
		g.History()
	})
}

func TestWhatADrainingWorkerCannotFinishIsHandedBackAndDoneElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		w1 := g.StartWorker("w1", Builtin("wait"), capacity(5), func(c *workers.Config) { c.DrainGrace = 2 * time.Second })
		g.AwaitWorker("w1")
		var ids []uint64
		for range 5 {
			ids = append(ids, g.Submit("wait", "30"))
		}
		for _, id := range ids {
			g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		}
		g.StartWorker("w2", Builtin("wait"), capacity(5))
		g.AwaitWorker("w2")
		start := time.Now()
		w1.Stop()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("the worker took %v to end, want its grace of 2s and little more", took)
		}
		for id, task := range g.Wait(ids...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.WorkerId != "w2" || task.Attempts != 1 || task.Redeliveries != 1 {
				t.Errorf("task %d: got %v", id, task)
			}
		}
		checkDrained(t, g, "w1")
		g.History()
	})
}

// TestAWorkerThatDrainsUnheardIsHandedNothingMore: the name service is away and cannot say it, so the worker does.
func TestAWorkerThatDrainsUnheardIsHandedNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		names := g.StartNameService()
		g.StartDispatcher()
		w1 := g.StartWorker("w1", Builtin("wait"), capacity(2))
		g.AwaitWorker("w1")
		runs := []uint64{g.Submit("wait", "3"), g.Submit("wait", "8")}
		for _, id := range runs {
			g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		}
		names.Kill()
		var waits []uint64
		for range 10 {
			waits = append(waits, g.Submit("wait", "1"))
		}
		drain := g.LastEvent()
		w1.Stop() // from the third to the eighth second it has a free slot
		handed := 0
		for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{Since: drain, NoFollow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if s := e.GetTask(); s.GetWorkerId() == "w1" && s.To == pb.TaskState_TASK_STATE_DISPATCHED {
				handed++
			}
		}
		if handed != 1 {
			t.Errorf("while w1 drained it was handed %d tasks, want the one that it refused", handed)
		}
		for _, id := range waits {
			if task := g.Get(id); task.State != pb.TaskState_TASK_STATE_QUEUED {
				t.Errorf("task %d is %v when w1 has ended", id, task.State)
			}
		}

		g.StartNameService()
		g.StartWorker("w2", Builtin("wait"), capacity(10))
		for id, task := range g.Wait(append(runs, waits...)...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
				t.Errorf("task %d ended %v after %d attempts and %d redeliveries: %s", id, task.State, task.Attempts, task.Redeliveries, task.Error)
			}
		}
		g.History()
	})
}

func TestADrainOnRequestKeepsTheWorkerButGivesItNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		g.StartWorker("w", brief)
		g.AwaitWorker("w")
		if err := g.Client().Drain(g.Context(), "w", true); err != nil {
			t.Fatal(err)
		}
		g.AwaitChange(0, "w", "state", "DRAINING")
		id := g.Submit("brief", "x")
		time.Sleep(time.Minute)
		if task := g.Get(id); task.State != pb.TaskState_TASK_STATE_QUEUED {
			t.Errorf("the task is %v", task.State)
		}
		if err := g.Client().Drain(g.Context(), "w", false); err != nil {
			t.Fatal(err)
		}
		g.WaitOne(id)
		checkDrained(t, g, "w")
	})
}
