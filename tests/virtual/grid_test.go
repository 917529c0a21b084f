package virtual

import (
	"testing"
	"testing/synctest"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestTheWholeGridAnswersInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "reverse")
		task := g.WaitOne(g.Submit("reverse", "hello"))
		if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.GetResult() != "olleh" {
			t.Errorf("reverse hello: got %v", task)
		}
		g.Status()
		g.History()
	})
}
