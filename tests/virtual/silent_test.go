package virtual

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// silence takes the network from a replica, as a pulled cable does: nothing comes from it or to it, and no connection
// breaks. Sound undoes it.
func (c *cluster) silence(i int) {
	c.replicas[i].Freeze()
	c.cut(i)
}

func (c *cluster) sound(i int) {
	c.wires.Mend()
	c.replicas[i].Thaw()
}

// TestALeaderThatFallsSilentIsAPauseOfASecond: nobody's connection to it breaks, and everybody leaves it all the same.
func TestALeaderThatFallsSilentIsAPauseOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		l := c.leader(-1)
		var runs atomic.Int64
		wait := Builtin("wait")["wait"]
		c.StartWorker("w", map[string]workers.Handler{"wait": func(ctx context.Context, payload string) (string, error) {
			runs.Add(1)
			return wait(ctx, payload)
		}}, func(cfg *workers.Config) { cfg.Capacity = 300 })
		c.AwaitWorker("w")
		ids := []uint64{c.Submit("wait", "1100ms"), c.Submit("wait", "4s"), c.Submit("wait", "20s")} // they end while nobody leads, when another does, and long after
		c.AwaitState(ids[2], pb.TaskState_TASK_STATE_PROCESSING)
		ends := make(chan time.Duration, len(ids)) // of the first three, from the silence on
		last := make(chan []uint64)
		streamed := make(chan []uint64) // of RunTasks
		go func() { streamed <- c.stream(100) }()
		time.Sleep(1050 * time.Millisecond) // not when one of the stream's tasks ends and the next is handed over: that one might run twice

		c.silence(l)
		begin := time.Now()
		library := c.NewClient(client.Config{}) // one that finds the silent one at the name service
		go func() { last <- c.submitFor(5 * time.Second) }()
		for _, id := range ids {
			go func() {
				for _, err := range c.Client().Wait(c.Context(), id) {
					if err != nil {
						t.Errorf("wait for %d: %v", id, err)
					}
					ends <- time.Since(begin)
				}
			}()
		}
		for _, call := range []*client.Client{library, c.Client()} {
			if _, err := call.Submit(c.Context(), &pb.TaskSpec{Type: "wait", Payload: "1ms", IdempotencyKey: "once"}); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took > 1200*time.Millisecond {
			t.Errorf("submissions were acknowledged %v after the leader fell silent, want about a second", took)
		}
		for i, want := range []time.Duration{1200 * time.Millisecond, 3100 * time.Millisecond} {
			if took := <-ends; took > want {
				t.Errorf("wait %d returned %v after the leader fell silent, want at most %v", i, took, want)
			}
		}
		ids = append(append(ids, <-last...), <-streamed...)

		c.sound(l)
		c.expectHealed()
		for id, task := range c.Wait(ids...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
				t.Errorf("task %d: %v after %d attempts and %d redeliveries, want COMPLETED by the first", id, task.State, task.Attempts, task.Redeliveries)
			}
		}
		if n := int(runs.Load()); n != len(ids)+1 {
			t.Errorf("%d tasks ran %d times", len(ids)+1, n)
		}
		if now := c.leader(-1); now == l {
			t.Errorf("%s, which was silent, leads again", c.ids[l])
		}
		c.History() // no task ends twice
		c.expectSame()
	})
}

// stream runs n tasks of 100 ms over one stream, two at a time, and checks that each pair takes no longer than a failover.
func (c *cluster) stream(n int) (ids []uint64) {
	library := c.NewClient(client.Config{})
	last := time.Now()
	for f, err := range library.RunAll(c.Context(), 2, func(yield func(*pb.TaskSpec) bool) {
		for range n {
			if !yield(&pb.TaskSpec{Type: "wait", Payload: "100ms"}) {
				return
			}
		}
	}) {
		if err != nil || f.Err != nil {
			c.t.Errorf("a task on the stream: %v, %v", err, f.Err)
			return ids
		}
		if took := time.Since(last); took > 1300*time.Millisecond {
			c.t.Errorf("nothing ended on the stream for %v", took)
		}
		last = time.Now()
		ids = append(ids, f.Task.Id)
	}
	return ids
}
