package virtual

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestHigherPrioritiesGoFirstAndEqualOnesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		p := g.StartPuppet("p", "echo")
		p.Entry.Capacity = 1
		table.List(p.Entry)
		line := p.Answer()
		g.AwaitWorker("p")
		g.Submit("echo", "first") // takes the slot
		first := line.Assigned()
		for i, priority := range []int32{0, 5, 9, 5, 0, 9} {
			g.SubmitSpec(&pb.TaskSpec{Type: "echo", Payload: fmt.Sprintf("%d/%d", priority, i), Priority: priority})
		}
		line.Result(first, "")
		for _, want := range []string{"9/2", "9/5", "5/1", "5/3", "0/0", "0/4"} {
			a := line.Assigned()
			if a.Payload != want {
				t.Errorf("handed over %s, want %s", a.Payload, want)
			}
			line.Result(a, "")
		}
	})
}

func TestAQueueTimeoutFailsATaskThatNobodyTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		p := g.StartPuppet("p", "echo")
		p.Entry.Capacity = 1
		table.List(p.Entry)
		line := p.Answer()
		g.AwaitWorker("p")
		spec := &pb.TaskSpec{Type: "echo", QueueTimeout: durationpb.New(5 * time.Second), AttemptTimeout: durationpb.New(time.Minute)}
		taken := g.SubmitSpec(spec)
		a := line.Assigned()
		waiting := g.SubmitSpec(spec)
		start := time.Now()
		task := g.WaitOne(waiting)
		if took := time.Since(start).Round(10 * time.Millisecond); task.State != pb.TaskState_TASK_STATE_FAILED || took != 5*time.Second || !strings.Contains(task.Error, "5s") {
			t.Errorf("after %v: %v, %q; want FAILED after 5s, in words", took, task.State, task.Error)
		}
		line.Result(a, "slow, but taken in time")
		if task := g.WaitOne(taken); task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("the one that was taken: %v", task)
		}
	})
}

func TestAttemptsAreSpentByErrorsAndTimeoutsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a) // attempt 1: a timeout
		a := th.mine.Assigned()
		th.mine.Start(a) // attempt 2: an error
		th.mine.Fail(a, pb.ErrorKind_ERROR_KIND_RETRYABLE, "not yet")
		th.mine.Refuse(th.mine.Assigned(), "no free slot") // costs nothing
		a = th.mine.Assigned()
		th.mine.Start(a)
		th.mine.HangUp() // a redelivery
		th.mine = th.first.Answer()
		for range 2 { // attempts 3 and 4
			a = th.mine.Assigned()
			th.mine.Start(a)
			th.mine.Fail(a, pb.ErrorKind_ERROR_KIND_UNSPECIFIED, "still not")
		}
		task := th.WaitOne(th.id)
		if task.State != pb.TaskState_TASK_STATE_FAILED || task.Error != "still not" || task.Attempts != 4 || task.Redeliveries != 1 {
			t.Errorf("got %v", task)
		}
		n := th.Status().Tasks
		if n.Timeouts != 1 || n.Requeues != 1 || n.Retries != 4 {
			t.Errorf("status: %d timeouts, %d requeues, %d retries; want 1, 1 and 4", n.Timeouts, n.Requeues, n.Retries)
		}
		th.History()
	})
}

func TestAnInvalidPayloadFailsAtOnceAndTheWorkerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "sum")
		bad := g.WaitOne(g.Submit("sum", "1,two,3"))
		if bad.State != pb.TaskState_TASK_STATE_FAILED || bad.Attempts != 1 || !strings.Contains(bad.Error, "two") {
			t.Errorf("1,two,3: got %v", bad)
		}
		if good := g.WaitOne(g.Submit("sum", "1,2,3")); good.GetResult() != "6" || good.WorkerId != bad.WorkerId {
			t.Errorf("1,2,3: got %v", good)
		}
	})
}
