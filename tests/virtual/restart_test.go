package virtual

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// endings are the two ways in which a process ends; what the grid promises holds for both.
var endings = map[string]func(*Dispatcher){
	"kill -9": func(d *Dispatcher) { d.Kill() },
	"SIGTERM": func(d *Dispatcher) { d.Stop() },
}

func TestALongTaskIsAdoptedByARestartedDispatcher(t *testing.T) {
	for name, end := range endings {
		for _, away := range []time.Duration{10 * time.Millisecond, 2 * time.Second, 25 * time.Second} {
			t.Run(fmt.Sprintf("%s, away for %v", name, away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := New(t)
					g.StartNameService()
					d := g.StartDispatcher()
					var runs atomic.Int64
					wait := Builtin("wait")["wait"]
					g.StartWorker("w", map[string]workers.Handler{"wait": func(ctx context.Context, payload string) (string, error) {
						runs.Add(1)
						return wait(ctx, payload)
					}})
					g.AwaitWorker("w")
					id := g.Submit("wait", "20")
					g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
					time.Sleep(3 * time.Second)
					end(d)
					time.Sleep(away) // 25 s: the task ends meanwhile, and its worker keeps the outcome
					d.Restart()
					task := g.WaitOne(id)
					if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.GetResult() != "waited 20s" || task.Attempts != 1 || task.Redeliveries != 0 {
						t.Errorf("got %v", task)
					}
					if n := runs.Load(); n != 1 {
						t.Errorf("the task ran %d times", n)
					}
					g.History()
				})
			})
		}
	}
}

func TestNothingAcceptedIsLostByARestart(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New(t)
				g.StartNameService()
				d := g.StartDispatcher()
				g.StartWorker("w", Builtin("wait"), func(c *workers.Config) { c.Capacity = 20 })
				g.AwaitWorker("w")
				specs := make([]*pb.TaskSpec, 300)
				for i := range specs {
					specs[i] = &pb.TaskSpec{Type: "wait", Payload: "1"}
				}
				var ids []uint64
				for i, s := range g.Client().SubmitMany(g.Context(), specs) {
					if s.Err != nil || s.ID != uint64(i+1) {
						t.Fatalf("submission %d: id %d, %v", i, s.ID, s.Err)
					}
					ids = append(ids, s.ID)
				}
				told := make(chan map[uint64]*pb.Task)
				go func() { told <- g.Wait(ids...) }() // a client that waits through it all
				time.Sleep(1500 * time.Millisecond)
				end(d)
				time.Sleep(time.Second)
				d.Restart()
				for id, task := range <-told {
					if task.State != pb.TaskState_TASK_STATE_COMPLETED {
						t.Errorf("task %d ended %v: %s", id, task.State, task.Error)
					}
				}
				if id := g.Submit("wait", "0"); id != uint64(len(ids)+1) {
					t.Errorf("after the restart the next id is %d, want %d", id, len(ids)+1)
				}
				g.Status()
				g.History()
			})
		})
	}
}

func TestAKeyIsRememberedThroughARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse")
		spec := &pb.TaskSpec{Type: "reverse", Payload: "ab", IdempotencyKey: "k"}
		first := g.SubmitSpec(spec)
		g.WaitOne(first)
		d.Kill()
		d.Restart()
		results := g.Client().SubmitMany(g.Context(), []*pb.TaskSpec{spec, {Type: "reverse", Payload: "other", IdempotencyKey: "k"}})
		if results[0].ID != first || !results[0].Duplicate {
			t.Errorf("the same key and task again: got %+v, want the duplicate of %d", results[0], first)
		}
		if results[1].Err == nil {
			t.Errorf("the same key with another task: got %+v, want ALREADY_EXISTS", results[1])
		}
	})
}

func TestTimersGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		d := g.StartDispatcher()
		p := g.StartPuppet("p", "echo")
		table.List(p.Entry)
		line := p.Answer()
		g.AwaitWorker("p")
		running := g.SubmitSpec(&pb.TaskSpec{Type: "echo", AttemptTimeout: durationpb.New(20 * time.Second), MaxAttempts: 1})
		line.Start(line.Assigned())
		table.List()
		g.AwaitChange(0, "p", "state", "")
		begun := time.Now()
		waiting := g.SubmitSpec(&pb.TaskSpec{Type: "echo", QueueTimeout: durationpb.New(30 * time.Second)})
		d.Kill()
		d.Restart()
		if task := g.WaitOne(waiting); task.State != pb.TaskState_TASK_STATE_FAILED || time.Since(begun) > 31*time.Second {
			t.Errorf("a queue timeout of 30s: got %v after %v, error %q", task.State, time.Since(begun), task.Error)
		}
		_ = running
	})
}

// TestAFullDiskIsSaidToWhoeverSubmits: the caller learns why the dispatcher stops, and that nobody knows what became of
// the call.
func TestAFullDiskIsSaidToWhoeverSubmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := Start(t, "reverse")
		api := d.API()
		d.FillDisk()
		_, err := api.SubmitTasks(t.Context(), &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "reverse", Payload: "ab"}}})
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "its journal failed (append at ") || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("submit to a full disk: got %v, want UNAVAILABLE and why", err)
		}
		<-d.Ended()
	})
}
