package virtual

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

// theatre is a grid of two puppets, each with a line to the dispatcher, of which the first has been handed a task.
type theatre struct {
	*Grid
	t           *testing.T
	table       *NameTable
	first       *Puppet
	mine, other *Line
	id          uint64
	a           *pb.Assignment
}

func newTheatre(t *testing.T) *theatre {
	g := New(t)
	th := &theatre{Grid: g, t: t, table: g.StartNameTable()}
	g.StartDispatcher()
	th.first = g.StartPuppet("first", "echo")
	second := g.StartPuppet("second", "sing")
	th.table.List(th.first.Entry, second.Entry)
	th.mine, th.other = th.first.Answer(), second.Answer()
	g.AwaitWorker("first")
	g.AwaitWorker("second")
	th.id = g.SubmitSpec(&pb.TaskSpec{Type: "echo", Payload: "x", AttemptTimeout: durationpb.New(time.Second)})
	th.a = th.mine.Assigned()
	return th
}

// again waits for the next attempt and completes it.
func (th *theatre) again(result string) {
	a := th.mine.Assigned()
	if a.TaskId != th.id || a.Attempt == th.a.Attempt {
		th.t.Errorf("second attempt: got %v after %v", a, th.a)
	}
	th.mine.Start(a)
	th.mine.Result(a, result)
}

func outcome(task, attempt uint64, result string) *pb.Outcome {
	return &pb.Outcome{TaskId: task, Attempt: attempt, Result: result}
}

// TestWhateverWorkersAnswerATaskEndsOnce: each case says its lines; the task must end with the result "right", by a legal
// path with one terminal step, and each odd answer must be counted and logged.
func TestWhateverWorkersAnswerATaskEndsOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(th *theatre)
		odd  map[string]uint64
	}{
		{"as it should be", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Result(th.a, "right")
		}, nil},
		{"started and ended in one message", func(th *theatre) {
			th.mine.Say(&pb.ProcessResponse{Started: []*pb.Started{{TaskId: th.id, Attempt: th.a.Attempt}},
				Outcomes: []*pb.Outcome{outcome(th.id, th.a.Attempt, "right")}})
		}, nil},
		{"an outcome before Started counts", func(th *theatre) {
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"before_started": 1}},
		{"Started after the outcome", func(th *theatre) {
			th.mine.Result(th.a, "right")
			th.WaitOne(th.id)
			th.mine.Start(th.a)
		}, map[string]uint64{"before_started": 1, "duplicate": 1}},
		{"a duplicate in one message", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Outcomes(outcome(th.id, th.a.Attempt, "right"), outcome(th.id, th.a.Attempt, "wrong"))
		}, map[string]uint64{"duplicate": 1}},
		{"a duplicate after the end", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Result(th.a, "right")
			th.WaitOne(th.id)
			th.mine.Result(th.a, "wrong")
			th.mine.Fail(th.a, pb.ErrorKind_ERROR_KIND_PERMANENT, "wrong")
		}, map[string]uint64{"duplicate": 2}},
		{"Started twice", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Start(th.a)
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"duplicate": 1}},
		{"refused after the outcome", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Result(th.a, "right")
			th.mine.Refuse(th.a, "wrong")
		}, map[string]uint64{"duplicate": 1}},
		{"a result after a retryable error", func(th *theatre) {
			th.mine.Start(th.a)
			failed := &pb.OutcomeError{Kind: pb.ErrorKind_ERROR_KIND_RETRYABLE, Message: "not yet"}
			th.mine.Outcomes(&pb.Outcome{TaskId: th.id, Attempt: th.a.Attempt, Error: failed}, outcome(th.id, th.a.Attempt, "wrong"))
			th.again("right")
		}, map[string]uint64{"duplicate": 1}},
		{"late: while the task waits for its next attempt", func(th *theatre) {
			th.mine.Start(th.a)
			th.AwaitState(th.id, pb.TaskState_TASK_STATE_RETRYING)
			th.mine.Result(th.a, "wrong")
			th.again("right")
		}, map[string]uint64{"stale": 1}},
		{"late: while the next attempt runs", func(th *theatre) {
			th.mine.Start(th.a)
			next := th.mine.Assigned()
			th.mine.Start(next)
			th.mine.Result(th.a, "wrong")
			th.mine.Result(next, "right")
		}, map[string]uint64{"stale": 1}},
		{"late: after the next attempt has ended", func(th *theatre) {
			th.mine.Start(th.a)
			th.again("right")
			th.WaitOne(th.id)
			th.mine.Result(th.a, "wrong")
		}, map[string]uint64{"stale": 1}},
		{"forged: a wrong token", func(th *theatre) {
			th.mine.Start(th.a)
			th.mine.Outcomes(outcome(th.id, th.a.Attempt+1, "wrong"), outcome(th.id, 0, "wrong"), outcome(th.id, 1, "wrong"))
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"stale": 3}},
		{"forged: another worker's task, with the right token", func(th *theatre) {
			th.mine.Start(th.a)
			th.other.Result(th.a, "wrong")
			th.other.Refuse(th.a, "wrong")
			th.AwaitOddities(2)
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"foreign": 2}},
		{"forged: a task that does not exist", func(th *theatre) {
			th.mine.Start(th.a)
			th.other.Outcomes(outcome(th.id+1, th.a.Attempt, "wrong"), outcome(0, 0, "wrong"))
			th.mine.Outcomes(outcome(1<<63, 1, "wrong"))
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"unknown_task": 3}},
		{"forged: a task that waits in its queue", func(th *theatre) {
			th.mine.Start(th.a)
			th.table.List(th.first.Entry) // the other worker goes
			th.AwaitChange(0, "second", "state", "")
			queued := th.Submit("sing", "x")
			th.mine.Outcomes(outcome(queued, th.a.Attempt, "wrong"), outcome(queued, 0, "wrong"))
			th.mine.Result(th.a, "right")
			th.WaitOne(th.id)
			if task := th.Get(queued); task.State != pb.TaskState_TASK_STATE_QUEUED {
				th.t.Errorf("the queued task is %v", task.State)
			}
		}, map[string]uint64{"stale": 2}},
		{"progress of more than everything, and of something that is no number", func(th *theatre) {
			th.mine.Start(th.a)
			var zero float32
			th.mine.Say(&pb.ProcessResponse{Progress: []*pb.Progress{
				{TaskId: th.id, Attempt: th.a.Attempt, Fraction: 7}, {TaskId: th.id, Attempt: th.a.Attempt, Fraction: -1},
				{TaskId: th.id, Attempt: th.a.Attempt, Fraction: zero / zero}}})
			th.mine.Result(th.a, "right")
		}, map[string]uint64{"malformed": 3}},
		{"a refusal costs nothing and comes back at once", func(th *theatre) {
			th.mine.Refuse(th.a, "no free slot")
			th.again("right")
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t)
				c.say(th)
				task := th.WaitOne(th.id)
				if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.GetResult() != "right" {
					t.Errorf("the task ended %v with %q, error %q", task.State, task.GetResult(), task.Error)
				}
				synctest.Wait() // what was said last has been heard
				if diff := cmp.Diff(c.odd, th.Status().Oddities); diff != "" {
					t.Errorf("oddities (-want +got):\n%s", diff)
				}
				th.checkLog(c.odd)
				if diff := cmp.Diff(task.State, th.Get(th.id).State); diff != "" {
					t.Errorf("the ended task changed: %s", diff)
				}
				th.History()
			})
		})
	}
}

// AwaitOddities waits until so many odd answers were counted.
func (th *theatre) AwaitOddities(n uint64) {
	for range 1000 {
		var sum uint64
		for count := range maps.Values(th.Status().Oddities) {
			sum += count
		}
		if sum >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	th.t.Fatalf("oddities: %v; want %d", th.Status().Oddities, n)
}

// checkLog checks that there is a line for each odd answer, with everything needed to follow it.
func (th *theatre) checkLog(odd map[string]uint64) {
	var all uint64
	for reason, n := range odd {
		all += n
		lines := th.Log.Lines("odd answer of a worker", "odd="+reason, "worker_id=", "task_id=", "attempt=", "request_id=")
		if len(lines) != int(n) {
			th.t.Errorf("the log has %d lines about %s, want %d", len(lines), reason, n)
		}
	}
	if lines := th.Log.Lines("odd answer"); len(lines) != int(all) {
		th.t.Errorf("the log has %d lines about odd answers, want %d: %v", len(lines), all, lines)
	}
}

func TestAWorkerThatSpeaksOutOfTurnIsHungUpOnAndItsTasksGoOn(t *testing.T) {
	for name, say := range map[string]func(*Line){
		"Hello a second time": func(l *Line) {
			l.Say(&pb.ProcessResponse{Hello: &pb.Hello{WorkerId: "first", LeaseId: "lease-of-first"}})
		},
		"hangs up": func(l *Line) { l.HangUp() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t)
				th.mine.Start(th.a)
				say(th.mine)
				th.AwaitChange(0, "first", "stream", "broken")
				th.mine = th.first.Answer()
				th.again("right")
				if task := th.WaitOne(th.id); task.GetResult() != "right" || task.Redeliveries != 1 || task.Attempts != 1 {
					t.Errorf("the task ended %v", task)
				}
			})
		})
	}
}

func TestAResultThatIsTooLongFailsTheTaskInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		th.mine.Result(th.a, string(make([]byte, 64<<10+1)))
		task := th.WaitOne(th.id)
		want := fmt.Sprintf("result: %d bytes: must be at most %d bytes", 64<<10+1, 64<<10)
		if task.State != pb.TaskState_TASK_STATE_FAILED || task.Error != want {
			t.Errorf("got %v, %q; want FAILED, %q", task.State, task.Error, want)
		}
	})
}

func TestAnEmptyResultAndZeroAreResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		th.mine.Result(th.a, "")
		if task := th.WaitOne(th.id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Result == nil || *task.Result != "" {
			t.Errorf("result \"\": got %v", task)
		}
		id := th.Submit("echo", "")
		a := th.mine.Assigned()
		th.mine.Start(a)
		th.mine.Result(a, "0")
		if task := th.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.GetResult() != "0" {
			t.Errorf("result \"0\": got %v", task)
		}
	})
}

func TestEveryOutcomeIsAcknowledgedOnceItIsDurableOrUnwanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		th.mine.Result(th.a, "right")
		if ack := th.mine.Acked(); ack.TaskId != th.id || ack.Attempt != th.a.Attempt {
			t.Errorf("acknowledged %v, want %v", ack, th.a)
		}
		if task := th.Get(th.id); task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("acknowledged while the task is %v", task.State)
		}
		th.mine.Outcomes(outcome(999, 5, "nobody asked"))
		if ack := th.mine.Acked(); ack.TaskId != 999 || ack.Attempt != 5 {
			t.Errorf("an unwanted outcome: acknowledged %v", ack)
		}
	})
}
