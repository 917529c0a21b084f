package virtual

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// counting returns an echo handler, and how often it was called.
func counting(typ string) (map[string]workers.Handler, *atomic.Int64) {
	var calls atomic.Int64
	return map[string]workers.Handler{typ: func(_ context.Context, payload string) (string, error) {
		calls.Add(1)
		return payload, nil
	}}, &calls
}

func TestEveryTaskGoesToTheAddressThatTheNameServiceGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		d := g.StartDispatcher()
		handlers, calls := counting("echo")
		running := g.StartWorker("running", handlers) // registers in vain
		odd := g.StartPuppet("odd", "echo")
		table.List(odd.Entry)
		line := odd.Answer()
		g.AwaitWorker("odd")
		for range 30 {
			id := g.Submit("echo", "x")
			a := line.Assigned()
			line.Start(a)
			line.Result(a, "from the odd one")
			if task := g.WaitOne(id); task.GetResult() != "from the odd one" || task.WorkerId != "odd" {
				t.Fatalf("task %d: got %v", id, task)
			}
		}
		if n := calls.Load(); n != 0 {
			t.Errorf("the worker that the name service does not name ran %d tasks", n)
		}
		if n := g.Network.Dialed(d.Address, running.Address); n != 0 {
			t.Errorf("the dispatcher dialled the worker that the name service does not name %d times", n)
		}
	})
}

func TestWithAnEmptyNameServiceNoTaskReachesTheRunningWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		d := g.StartDispatcher()
		handlers, calls := counting("echo")
		running := g.StartWorker("running", handlers)
		puppet := g.StartPuppet("p", "echo") // makes the type known
		table.List(puppet.Entry)
		g.AwaitWorker("p")
		table.List()
		g.AwaitChange(0, "p", "state", "")
		id := g.Submit("echo", "x")
		time.Sleep(time.Minute)
		if task := g.Get(id); task.State != pb.TaskState_TASK_STATE_QUEUED {
			t.Errorf("after a minute the task is %v on %q, want QUEUED", task.State, task.WorkerId)
		}
		if n := calls.Load() + int64(g.Network.Dialed(d.Address, running.Address)); n != 0 {
			t.Errorf("the running worker was reached %d times", n)
		}
		table.List(puppet.Entry)
		puppet.Answer() // the first one, which was hung up
		line := puppet.Answer()
		line.Result(line.Assigned(), "y")
		g.WaitOne(id)
	})
}

// TestASuccessorAtTheSameAddressIsNotDisturbed kills a worker and starts one of another name at its address, as a restarted
// container without --id does. The dispatcher goes on looking for the dead one, at that address, until it is forgotten.
func TestASuccessorAtTheSameAddressIsNotDisturbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t)
		first := g.StartWorker("first", Builtin("wait"))
		g.AwaitWorker("first")
		first.Kill()
		g.StartWorker("second", Builtin("wait"), func(c *workers.Config) { c.Advertise = first.Address })
		g.AwaitWorker("second")
		since := g.LastEvent()
		id := g.Submit("wait", "50")
		if task := g.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Redeliveries != 0 {
			t.Errorf("the task is %v after %d redeliveries (%s), want COMPLETED after none", task.State, task.Redeliveries, task.Error)
		}
		for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{Since: since, NoFollow: true}) {
			if w := e.GetWorker(); err != nil || w.GetWorkerId() == "second" {
				t.Errorf("%v; the successor's stream should stand: %v", err, e)
			}
		}
	})
}

func TestAnAddressThatAnotherWorkerHasTakenOverGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		puppet := g.StartPuppet("p", "echo")
		puppet.Greet(&pb.Hello{WorkerId: "somebody-else", LeaseId: "lease-of-p"})
		table.List(puppet.Entry)
		line := puppet.Answer()
		g.AwaitChange(0, "p", "state", "ACTIVE")
		g.Submit("echo", "x")
		time.Sleep(5 * time.Second)
		if !line.Idle() {
			t.Error("a worker that says it is another one got an assignment")
		}
		w := g.Status().Workers[0]
		if w.Connected || w.Error == "" {
			t.Errorf("status of the link: connected %v, error %q; want not connected, and why", w.Connected, w.Error)
		}
	})
}

func TestARestartedNameServiceProvesNothingAgainstAConnectedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		ns := g.StartNameService()
		g.StartDispatcher()
		g.StartWorker("w", Builtin("wait", "reverse"))
		g.AwaitWorker("w")
		long := g.Submit("wait", "30")
		g.AwaitState(long, pb.TaskState_TASK_STATE_PROCESSING)
		since := g.LastEvent()

		ns.Kill()
		for range 20 { // while it is away
			if task := g.WaitOne(g.Submit("reverse", "ab")); task.GetResult() != "ba" {
				t.Fatalf("without a name service: got %v", task)
			}
			time.Sleep(time.Second)
		}
		ns = g.StartNameService()
		time.Sleep(2 * time.Second)
		names := pb.NewNameServiceClient(g.Connect(ns.Address))
		list, err := names.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{})
		if err != nil || len(list.Workers) != 1 {
			t.Errorf("two heartbeats after its return the name service lists %v, %v; want w", list, err)
		}
		if task := g.WaitOne(long); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
			t.Errorf("the task that ran meanwhile: got %v", task)
		}
		time.Sleep(time.Minute) // settled, and long beyond the time after which a worker is forgotten
		for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{Since: since, NoFollow: true}) {
			if err != nil || e.GetWorker() != nil {
				t.Errorf("the restart changed the worker: %v, %v", e, err)
			}
		}
	})
}

func TestAWorkerThatASettledNameServiceDoesNotListIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		ns := g.StartNameService()
		g.StartDispatcher()
		w := g.StartWorker("w", Builtin("wait"))
		g.AwaitWorker("w")
		ns.Kill()
		w.Kill()
		start := time.Now()
		g.StartNameService()
		gone := g.AwaitChange(0, "w", "state", "").Time.AsTime().Sub(start).Round(time.Millisecond)
		if gone < Times.UnhealthyAfter || gone > Times.UnhealthyAfter+time.Second {
			t.Errorf("the worker was gone %v after the name service came back, want when that is settled, after %v", gone, Times.UnhealthyAfter)
		}
	})
}
