package virtual

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// TestADeposedLeaderDoesNotAnswerFromThePast looks for the moment in which two replicas believe that they lead: one is slow
// to take notice of its followers' answers, and is cut off. What is changed at its successor it must not tell as it was.
func TestADeposedLeaderDoesNotAnswerFromThePast(t *testing.T) {
	moments := 0
	for round := 0; moments < 3 && round < 60; round++ {
		synctest.Test(t, func(t *testing.T) {
			c := startCluster(t, calm)
			c.leader(-1)
			c.StartWorker("w", Builtin("wait"))
			c.AwaitWorker("w")
			id := c.Submit("wait", "30")
			c.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
			old := c.leader(-1)
			c.wires.Late(c.ids[old], func() time.Duration { return 440 * time.Millisecond })
			time.Sleep(2 * time.Second)
			old = c.leader(-1)
			c.cut(old)
			next := c.leader(old)
			if _, still := c.replicas[old].Leading(); !still {
				return
			}
			moments++
			if _, err := c.replicas[next].API().CancelTasks(c.Context(), &pb.CancelTasksRequest{Ids: []uint64{id}}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), time.Second)
			defer cancel()
			if got, err := c.replicas[old].API().GetTask(ctx, &pb.GetTaskRequest{Id: id}); err == nil && got.Task.State != pb.TaskState_TASK_STATE_CANCELLED {
				t.Errorf("%s, deposed, says that the task is %v; %s has cancelled it", c.ids[old], got.Task.State, c.ids[next])
			}
		})
	}
	if moments == 0 {
		t.Error("there was no moment with two leaders")
	}
}
