package virtual

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// TestAReplicaNamesTheLeaderToItsCallers asks one that does not lead.
func TestAReplicaNamesTheLeaderToItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		time.Sleep(time.Second)
		ask := func(want int) {
			t.Helper()
			for i, d := range c.replicas {
				if i == want {
					continue
				}
				_, err := d.API().GetTask(t.Context(), &pb.GetTaskRequest{Id: 1})
				if hint := discovery.Hint(err).GetAddress(); hint != c.replicas[want].Address {
					t.Errorf("%s names %q as the leader (%v), want %s", c.ids[i], hint, err, c.replicas[want].Address)
				}
			}
		}
		ask(leader)
		c.cut(leader)
		next := c.leader(leader)
		c.wires.Mend()
		time.Sleep(5 * time.Second)
		ask(next)
	})
}

// TestAWorkerKnowsTheTermOfItsLeader opens streams to a worker in the name of leaders past and present.
func TestAWorkerKnowsTheTermOfItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		w := c.StartWorker("w", Builtin("wait"))
		c.AwaitWorker("w")
		raft := c.Status().Raft
		open := func(cluster string, term uint64) error {
			ctx, cancel := context.WithCancel(rpc.WithLeader(t.Context(), cluster, term))
			defer cancel()
			stream, err := pb.NewWorkerServiceClient(c.Grid.Connect(w.Address)).Process(ctx)
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}
		since := c.LastEvent()
		if err := open(raft.Cluster, raft.Term-1); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a leader of the term before got %v, want FAILED_PRECONDITION", err)
		}
		if last := c.LastEvent(); last != since {
			t.Errorf("events up to %d came of it", last)
		}
		if err := open(raft.Cluster, raft.Term+1); err != nil {
			t.Errorf("a leader of the next term got %v", err)
		}
	})
}

// TestWhatEndsWhileNobodyLeadsIsNotRunAgain: a task ends while there is no majority. Its worker keeps the outcome, and the
// next leader takes it.
func TestWhatEndsWhileNobodyLeadsIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		c.StartWorker("w", Builtin("wait"))
		c.AwaitWorker("w")
		ended, runs := c.Submit("wait", "5"), c.Submit("wait", "40")
		c.AwaitState(ended, pb.TaskState_TASK_STATE_PROCESSING)
		c.AwaitState(runs, pb.TaskState_TASK_STATE_PROCESSING)
		for i := range c.replicas {
			c.cut(i)
		}
		time.Sleep(20 * time.Second)
		if _, ok := c.replicas[leader].Leading(); ok {
			t.Fatal("one leads without a majority")
		}
		c.wires.Mend()
		for id, task := range c.Wait(ended, runs) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
				t.Errorf("task %d: %v after %d attempts and %d redeliveries, want COMPLETED after 1 and 0", id, task.State, task.Attempts, task.Redeliveries)
			}
		}
		c.History()
	})
}
