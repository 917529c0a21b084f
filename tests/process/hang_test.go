//go:build unix

package process

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestAHungWorkerDelaysNobodyElse stops a worker with SIGSTOP while it has tasks.
func TestAHungWorkerDelaysNobodyElse(t *testing.T) {
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	hung := g.Worker("wait-1", "wait")
	g.Worker("reverse-1", "reverse")
	g.Connected("wait-1", "reverse-1")
	c := g.Client()
	// Another type, one task after the other: first while nobody hangs, which tells how busy the machine is.
	reverse := func() time.Duration {
		begin := time.Now()
		task, err := c.Run(t.Context(), &pb.TaskSpec{Type: "reverse", Payload: "hello"})
		if err != nil || task.GetResult() != "olleh" {
			t.Errorf("reverse beside a wait worker: %v, %v", task.GetResult(), err)
		}
		return time.Since(begin)
	}
	var before, times []time.Duration
	for range 50 {
		before = append(before, reverse())
	}
	usual := slices.Max(before)
	const slack = 5 * time.Second // without its deadline, or its lease, a task would wait for a minute

	long := submit(t, c, 1, "wait", always("60s"))
	short, err := c.Submit(t.Context(), &pb.TaskSpec{Type: "wait", Payload: "60s", AttemptTimeout: durationpb.New(3 * time.Second), MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range append(long, short) {
		inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	}
	hung.Pause()
	paused := time.Now()
	var others sync.WaitGroup
	stop := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			times = append(times, reverse())
		}
	})

	ended := inState(g, c, short, pb.TaskState_TASK_STATE_FAILED)
	if after := ended.CompletedTime.AsTime().Sub(paused); after > 4*time.Second+slack {
		t.Errorf("the task with a deadline of 3s moved on %v after the worker hung", after)
	}
	var moved time.Time
	g.Eventually("the task without a near deadline moves on", func(ctx context.Context) error {
		task, err := c.Get(ctx, long[0])
		if err != nil {
			return err
		}
		for _, s := range task.History {
			if s.To == pb.TaskState_TASK_STATE_RETRYING {
				moved = s.Time.AsTime()
				return nil
			}
		}
		return fmt.Errorf("it is %v", task.State)
	})
	if after := moved.Sub(paused); after > 11*time.Second+slack {
		t.Errorf("the task moved on %v after its worker hung, want at most %v", after, 11*time.Second+slack)
	}
	close(stop)
	others.Wait()
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	t.Logf("%d tasks of another type while a worker hung: p50 %v, p99 %v; before at most %v", len(times), times[len(times)/2], p99, usual)
	const most = 2 * time.Second // who waited for the worker waited for 3s or more
	if p99 > most {
		t.Errorf("p99 of another type while a worker hung: %v of %d tasks, want under %v", p99, len(times), most)
	}
}
