package virtual

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// electionTimeout is the journal's, of a cluster.
const electionTimeout = 300 * time.Millisecond

// partitions are what can happen to the wires of a replica. Each ends with all of them mended.
var partitions = map[string]func(c *cluster, i int){
	"it is cut off": func(c *cluster, i int) {
		c.cut(i)
		time.Sleep(6 * time.Second)
	},
	"it is not heard": func(c *cluster, i int) {
		for j := range c.ids {
			c.cutBetween(i, j)
		}
		time.Sleep(6 * time.Second)
	},
	"it does not hear": func(c *cluster, i int) {
		for j := range c.ids {
			c.cutBetween(j, i)
		}
		time.Sleep(6 * time.Second)
	},
	"it hears and is heard by one other only": func(c *cluster, i int) {
		c.cutBetween(i, (i+1)%3)
		c.cutBetween((i+1)%3, i)
		time.Sleep(6 * time.Second)
	},
	"it comes and goes": func(c *cluster, i int) {
		for n := range 12 {
			c.cut(i)
			time.Sleep(time.Duration(100+n*37%400) * time.Millisecond)
			c.wires.Mend()
			time.Sleep(time.Duration(100+n*53%400) * time.Millisecond)
		}
		c.cut(i)
	},
}

// TestNothingDivergesInAPartition lets tasks run and callers work while something is wrong with the wires of the leader,
// and then of a follower. In the end all three replicas tell the same.
func TestNothingDivergesInAPartition(t *testing.T) {
	for name, part := range partitions {
		for victim, offset := range map[string]int{"leader": 0, "follower": 1} {
			t.Run(victim+": "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := startCluster(t)
					l := c.leader(-1)
					var runs atomic.Int64
					wait := Builtin("wait")["wait"]
					c.StartWorker("w", map[string]workers.Handler{"wait": func(ctx context.Context, payload string) (string, error) {
						runs.Add(1)
						return wait(ctx, payload)
					}}, func(cfg *workers.Config) { cfg.Capacity = 200 })
					c.AwaitWorker("w")
					var ids []uint64
					for _, payload := range []string{"500ms", "2s", "9s"} { // they end before, in and after the failover
						for range 10 {
							ids = append(ids, c.Submit("wait", payload))
						}
					}
					c.AwaitState(ids[len(ids)-1], pb.TaskState_TASK_STATE_PROCESSING)
					meanwhile := make(chan []uint64)
					go func() { meanwhile <- c.submitFor(5 * time.Second) }()

					time.Sleep(50 * time.Millisecond) // not when a task is handed over: that one might run twice
					part(c, (l+offset)%3)
					c.wires.Mend()
					c.expectHealed()

					ids = append(ids, <-meanwhile...)
					for id, task := range c.Wait(ids...) {
						if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
							t.Errorf("task %d: %v after %d attempts and %d redeliveries, want COMPLETED by the first", id, task.State, task.Attempts, task.Redeliveries)
						}
					}
					if n := int(runs.Load()); n != len(ids) {
						t.Errorf("%d tasks ran %d times", len(ids), n)
					}
					c.History() // no task ends twice
					c.expectSame()
				})
			})
		}
	}
}

// submitFor submits a task every 100 ms or as often as it is answered, through the library.
func (c *cluster) submitFor(d time.Duration) (ids []uint64) {
	library := c.NewClient(client.Config{})
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		id, err := library.Submit(c.Context(), &pb.TaskSpec{Type: "wait", Payload: "1s"})
		if err != nil {
			c.t.Errorf("submit: %v", err)
			return ids
		}
		ids = append(ids, id)
	}
	return ids
}

// expectHealed checks that within two election timeouts one replica leads, and the others say so.
func (c *cluster) expectHealed() {
	c.t.Helper()
	var seen []string
	for range 2 * electionTimeout / (10 * time.Millisecond) {
		time.Sleep(10 * time.Millisecond)
		seen = nil
		leaders, agreed := map[string]int{}, 0
		for _, d := range c.replicas {
			status, err := d.API().GetStatus(c.Context(), &pb.DispatcherGetStatusRequest{})
			if err != nil {
				c.t.Fatal(err)
			}
			r := status.Raft
			seen = append(seen, fmt.Sprintf("%s is %s in term %d and follows %q", r.Id, r.State, r.Term, r.Leader))
			leaders[fmt.Sprint(r.Term, r.Leader)]++
			if r.State == "leader" {
				agreed = leaders[fmt.Sprint(r.Term, r.Leader)]
			}
		}
		if len(leaders) == 1 && agreed > 0 && c.anyLeads() {
			return
		}
	}
	c.t.Errorf("two election timeouts after the wires were mended: %v", seen)
}

func (c *cluster) anyLeads() bool {
	for _, d := range c.replicas {
		if _, ok := d.Leading(); ok {
			return true
		}
	}
	return false
}

// expectSame checks that all replicas have the same tasks, with their histories, and the same events.
func (c *cluster) expectSame() {
	c.t.Helper()
	time.Sleep(time.Second) // the followers hear what is committed
	tasks, events := c.all(0)
	if len(tasks) == 0 || len(events) == 0 {
		c.t.Errorf("%s has %d tasks and %d events", c.ids[0], len(tasks), len(events))
	}
	for i := 1; i < len(c.ids); i++ {
		t, e := c.all(i)
		if diff := difference(tasks, t); diff != "" {
			c.t.Errorf("the tasks of %s and %s differ:\n%s", c.ids[0], c.ids[i], diff)
		}
		if diff := difference(events, e); diff != "" {
			c.t.Errorf("the events of %s and %s differ:\n%s", c.ids[0], c.ids[i], diff)
		}
	}
}

// difference is cmp.Diff of messages, which takes ten times as long as to see that there is none.
func difference[M proto.Message](a, b []M) string {
	if slices.EqualFunc(a, b, func(a, b M) bool { return proto.Equal(a, b) }) {
		return ""
	}
	return cmp.Diff(a, b, protocmp.Transform())
}

// all returns everything that a replica tells, whether it leads or not.
func (c *cluster) all(i int) (tasks []*pb.Task, events []*pb.Event) {
	c.t.Helper()
	api := c.replicas[i].API()
	for token := ""; ; {
		page, err := api.ListTasks(c.Context(), &pb.ListTasksRequest{Stale: true, View: pb.TaskView_TASK_VIEW_FULL, PageToken: token})
		if err != nil {
			c.t.Fatal(err)
		}
		tasks = append(tasks, page.Tasks...)
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	stream, err := api.WatchEvents(c.Context(), &pb.WatchEventsRequest{Stale: true, NoFollow: true})
	for err == nil {
		var resp *pb.WatchEventsResponse
		if resp, err = stream.Recv(); err == nil {
			events = append(events, resp.Events...)
		}
	}
	if err != io.EOF {
		c.t.Fatal(err)
	}
	return tasks, events
}
