package virtual

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

// TestADeposedLeaderRestsAfterADeadlineItKnew lets the deadline of a task pass on a replica that led when the task was
// handed over. A loop that spins for a deadline that is no longer its own would stop virtual time.
func TestADeposedLeaderRestsAfterADeadlineItKnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		deposed := c.leader(-1)
		c.StartWorker("w", Builtin("wait"))
		c.AwaitWorker("w")
		id := c.SubmitSpec(&pb.TaskSpec{Type: "wait", Payload: "30", AttemptTimeout: durationpb.New(10 * time.Second)})
		c.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		c.cut(deposed)
		c.leader(deposed)
		time.Sleep(20 * time.Second)
	})
}

// TestARestartDoesNotLogThePastAsNews counts the lines about ended tasks before and after a restart.
func TestARestartDoesNotLogThePastAsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse")
		for range 5 {
			g.WaitOne(g.Submit("reverse", "ab"))
		}
		time.Sleep(time.Second)
		before := len(g.Log.Lines("process=d1", "task COMPLETED"))
		d.Stop()
		d.Restart()
		time.Sleep(5 * time.Second)
		if after := len(g.Log.Lines("process=d1", "task COMPLETED")); before != 5 || after != before {
			t.Errorf("%d lines say that a task is COMPLETED before the restart and %d after it, want 5 and 5", before, after)
		}
	})
}
