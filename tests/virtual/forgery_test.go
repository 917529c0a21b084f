package virtual

import (
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// forgedHello is what one says who knows everything about the first worker of a theatre: its id, its lease, the attempt
// that it runs and the token of it. It brings a result along.
func forgedHello(th *theatre, id, lease string) *pb.Hello {
	return &pb.Hello{WorkerId: id, LeaseId: lease,
		Running:  []*pb.Running{{TaskId: th.id, Attempt: th.a.Attempt, Started: true}},
		Outcomes: []*pb.Outcome{outcome(th.id, th.a.Attempt, "forged")}}
}

// endsRight lets the worker that was handed the task return its result, and checks that nothing else happened to it.
func (th *theatre) endsRight() {
	th.t.Helper()
	synctest.Wait()
	if task := th.Get(th.id); task.State != pb.TaskState_TASK_STATE_PROCESSING || task.WorkerId != "first" {
		th.t.Errorf("after the forgery the task is %v with %q, want PROCESSING with first", task.State, task.WorkerId)
	}
	th.mine.Result(th.a, "right")
	if task := th.WaitOne(th.id); task.GetResult() != "right" || task.Attempts != 1 || task.Redeliveries != 0 {
		th.t.Errorf("the task ended %v, want with the result of the worker that had it, at the first attempt", task)
	}
}

func TestAForgedHelloWithAnothersLeaseGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		forger := th.StartPuppet("forger", "echo")
		forger.Greet(forgedHello(th, "first", "lease-of-first"))
		th.table.List(th.first.Entry, forger.Entry)
		line := forger.Answer()
		time.Sleep(100 * time.Millisecond)
		if !line.Idle() {
			t.Error("a process that says it is another worker got an assignment")
		}
		th.endsRight()
		if odd := th.Status().Oddities; len(odd) > 0 {
			t.Errorf("oddities %v: what came with a wrong Hello was looked at", odd)
		}
	})
}

func TestAnAddressThatWasTakenOverBringsNoOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		// The first worker's process is replaced at its address by one with another lease, which knows its attempt.
		th.first.Greet(forgedHello(th, "first", "lease-of-another"))
		th.mine.HangUp()
		th.first.Answer()
		th.AwaitChange(0, "first", "stream", "broken")
		time.Sleep(200 * time.Millisecond)
		if task := th.Get(th.id); task.GetState() == pb.TaskState_TASK_STATE_COMPLETED {
			t.Fatalf("the outcome of a process with another lease counted: %v", task)
		}
		th.first.Greet(&pb.Hello{WorkerId: "first", LeaseId: "lease-of-first"})
		th.mine = th.first.Answer()
		for end := time.Now().Add(time.Minute); th.mine.Idle() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if th.mine.Ended() { // it had begun with the other Hello
				th.mine = th.first.Answer()
			}
		}
		th.again("right")
		if task := th.WaitOne(th.id); task.GetResult() != "right" {
			t.Errorf("the task ended %v", task)
		}
	})
}

func TestAWorkerThatClaimsAnothersAttemptGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		forger := th.StartPuppet("forger", "echo")
		forger.Greet(forgedHello(th, "forger", "lease-of-forger")) // itself, and rightly registered
		th.table.List(th.first.Entry, forger.Entry)
		forger.Answer()
		th.AwaitWorker("forger")
		th.endsRight()
		if n := th.Status().Oddities["foreign"]; n != 1 {
			t.Errorf("foreign outcomes counted: %d, want 1", n)
		}
	})
}
