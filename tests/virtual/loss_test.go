package virtual

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// atOnce is how soon the loss of a worker is to be seen when its connection breaks.
const atOnce = 100 * time.Millisecond

func TestATaskOfAKilledWorkerIsRetriedAtOnceAndElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		byID := map[string]*Worker{}
		for _, id := range []string{"w1", "w2"} {
			byID[id] = g.StartWorker(id, Builtin("wait"))
			g.AwaitWorker(id)
		}
		id := g.Submit("wait", "5")
		first := g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING).GetTask().WorkerId
		killed := time.Now()
		byID[first].Kill()
		if took := g.AwaitState(id, pb.TaskState_TASK_STATE_RETRYING).Time.AsTime().Sub(killed); took > atOnce {
			t.Errorf("RETRYING %v after the worker was killed, want at most %v", took, atOnce)
		}
		task := g.WaitOne(id)
		if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.WorkerId == first || task.Attempts != 1 || task.Redeliveries != 1 {
			t.Errorf("after the loss of %s: got %v", first, task)
		}
		g.History()
	})
}

func TestATaskOfTheOnlyWorkerIsDoneWhenItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		w := g.StartWorker("w", Builtin("wait"))
		g.AwaitWorker("w")
		id := g.Submit("wait", "5")
		g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		w.Kill()
		killed := time.Now()
		if took := g.AwaitState(id, pb.TaskState_TASK_STATE_RETRYING).Time.AsTime().Sub(killed); took > atOnce {
			t.Errorf("RETRYING %v after the worker was killed, want at most %v", took, atOnce)
		}
		time.Sleep(30 * time.Second)
		back := time.Now()
		w.Restart()
		task := g.WaitOne(id)
		if took := time.Since(back); task.State != pb.TaskState_TASK_STATE_COMPLETED || took > 7*time.Second {
			t.Errorf("%v after its return: got %v", took, task)
		}
	})
}

// hung starts a grid in which worker "hung" runs a task of type slow that takes for ever, worker "spare" could do it in
// no time, and worker "fast" does echo. Then hung is stopped, as by SIGSTOP.
func hung(t *testing.T, timeout time.Duration) (g *Grid, id uint64, stopped time.Time) {
	g = New(t)
	g.StartNameService()
	g.StartDispatcher()
	w := g.StartWorker("hung", map[string]workers.Handler{"slow": func(ctx context.Context, _ string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}}, func(c *workers.Config) { c.DrainGrace = 0 })
	g.AwaitWorker("hung")
	echo, _ := counting("echo")
	g.StartWorker("fast", echo)
	g.AwaitWorker("fast")
	id = g.SubmitSpec(&pb.TaskSpec{Type: "slow", AttemptTimeout: durationpb.New(timeout)})
	g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
	slow, _ := counting("slow")
	g.StartWorker("spare", slow)
	g.AwaitWorker("spare")
	w.Freeze()
	return g, id, time.Now()
}

func TestAHungWorkerHoldsUpNoOtherType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, _ := hung(t, time.Hour)
		for range 60 {
			start := time.Now()
			g.WaitOne(g.Submit("echo", "x"))
			if took := time.Since(start); took > 100*time.Millisecond {
				t.Fatalf("a task of another type took %v", took)
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
}

func TestTasksOfAHungWorkerMoveOnWhenItIsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, stopped := hung(t, time.Hour)
		if took := g.AwaitState(id, pb.TaskState_TASK_STATE_RETRYING).Time.AsTime().Sub(stopped); took > 11*time.Second {
			t.Errorf("RETRYING %v after the worker was stopped, want at most 11s", took)
		}
		if task := g.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.WorkerId != "spare" {
			t.Errorf("got %v", task)
		}
		g.History()
	})
}

func TestAWorkerThatIsOfflineLosesItsTasksThoughItsStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		offline := proto.CloneOf(th.first.Entry)
		offline.State = pb.WorkerState_WORKER_STATE_OFFLINE
		start := time.Now()
		th.table.List(offline)
		if took := th.AwaitState(th.id, pb.TaskState_TASK_STATE_RETRYING).Time.AsTime().Sub(start); took > atOnce {
			t.Errorf("RETRYING %v after the worker was offline, want at most %v", took, atOnce)
		}
		if c := th.mine.Cancelled(); c.TaskId != th.id || c.Attempt != th.a.Attempt {
			t.Errorf("cancelled %v, want %v", c, th.a)
		}
		th.mine.Result(th.a, "wrong") // it comes back
		th.table.List(th.first.Entry)
		th.again("right")
		if task := th.WaitOne(th.id); task.GetResult() != "right" || task.Redeliveries != 1 {
			t.Errorf("got %v", task)
		}
	})
}

func TestTasksOfAHungWorkerMoveOnAtTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, _ := hung(t, 2*time.Second)
		timeout := g.AwaitState(id, pb.TaskState_TASK_STATE_TIMEOUT)
		begun := g.Get(id).History[2] // CREATED, QUEUED, DISPATCHED
		if took := timeout.Time.AsTime().Sub(begun.Time.AsTime()); took < 2*time.Second || took > 2*time.Second+atOnce {
			t.Errorf("TIMEOUT %v after the hand-over (%v), want 2s", took, begun)
		}
		if task := g.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.WorkerId != "spare" || task.Attempts != 2 {
			t.Errorf("got %v", task)
		}
		if n := g.Status().Tasks; n.Timeouts != 1 || n.Retries != 1 {
			t.Errorf("status: %d timeouts, %d retries; want 1 and 1", n.Timeouts, n.Retries)
		}
	})
}

func TestAWorkerThatWasOnlyPausedIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		handlers, calls := counting("echo")
		w := g.StartWorker("w", handlers)
		g.AwaitWorker("w")
		w.Freeze()
		g.AwaitChange(0, "w", "state", "OFFLINE")
		id := g.Submit("echo", "x")
		time.Sleep(5 * time.Second)
		w.Thaw()
		if task := g.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || calls.Load() != 1 {
			t.Errorf("after the pause: %d calls, got %v", calls.Load(), task)
		}
	})
}

func TestATaskThatKillsEveryWorkerEndsFailedInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		var worker atomic.Pointer[Worker]
		deadly := map[string]workers.Handler{"deadly": func(ctx context.Context, _ string) (string, error) {
			worker.Load().Kill()
			<-ctx.Done()
			return "", ctx.Err()
		}}
		start := func(w *Worker) { worker.Store(w) }
		start(g.StartWorker("w", deadly))
		g.AwaitWorker("w")
		id := g.Submit("deadly", "x")
		var since uint64
		for range 11 {
			since = g.AwaitChange(since, "w", "stream", "broken").Sequence
			start(worker.Load().Restart())
		}
		task := g.WaitOne(id)
		if task.State != pb.TaskState_TASK_STATE_FAILED || task.Redeliveries != 10 {
			t.Errorf("got %v after %d redeliveries, %q; want FAILED after 10", task.State, task.Redeliveries, task.Error)
		}
	})
}
