package virtual

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// TestAWorkerThatTalksNonsenseIsCutOffAndItsTasksGoOn: each case floods the dispatcher until it hangs up. The task that the
// worker had is done in another attempt, and the reason stands in the events, in the log and in the worker's status.
func TestAWorkerThatTalksNonsenseIsCutOffAndItsTasksGoOn(t *testing.T) {
	many := func(n int, one *pb.Progress) (list []*pb.Progress) {
		for range n {
			list = append(list, one)
		}
		return list
	}
	for _, c := range []struct {
		name   string
		say    func(th *theatre) *pb.ProcessResponse // again and again
		reason string
		odd    string // what it is counted as; "" for not at all
	}{
		{"progress without end", func(th *theatre) *pb.ProcessResponse {
			return &pb.ProcessResponse{Progress: many(10, &pb.Progress{TaskId: th.id, Attempt: th.a.Attempt, Fraction: 0.5})}
		}, "it reports progress without end", ""},
		{"outcomes of tasks that do not exist", func(th *theatre) *pb.ProcessResponse {
			return &pb.ProcessResponse{Outcomes: []*pb.Outcome{outcome(th.id+7, 1, "wrong"), outcome(0, 0, "wrong")}}
		}, "it answers nonsense", "unknown_task"},
		{"forged tokens", func(th *theatre) *pb.ProcessResponse {
			return &pb.ProcessResponse{Refused: []*pb.Refused{{TaskId: th.id, Attempt: th.a.Attempt + 1, Reason: "wrong"}}}
		}, "it answers nonsense", "stale"},
		{"Started without end", func(th *theatre) *pb.ProcessResponse {
			return &pb.ProcessResponse{Started: []*pb.Started{{TaskId: th.id, Attempt: th.a.Attempt}}}
		}, "it answers nonsense", "duplicate"},
		{"empty messages", func(*theatre) *pb.ProcessResponse { return &pb.ProcessResponse{} }, "it answers nonsense", "malformed"},
		{"a result of more than a message holds", func(th *theatre) *pb.ProcessResponse {
			return &pb.ProcessResponse{Outcomes: []*pb.Outcome{outcome(th.id, th.a.Attempt, strings.Repeat("x", 17<<20))}}
		}, "ResourceExhausted", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t)
				flood := c.say(th)
				for n := 0; th.mine.TrySay(flood) == nil; n++ {
					if n == 100_000 { // twice as many of the smallest as the stream's window holds unread
						t.Fatal("100,000 messages were taken")
					}
				}
				broken := th.AwaitChange(0, "first", "stream", "broken")
				if got := broken.GetWorker().Reason; !strings.Contains(got, c.reason) {
					t.Errorf("the event says %q, want %q", got, c.reason)
				}
				if len(th.Log.Lines("stream to worker broke", "worker_id=first", c.reason)) != 1 {
					t.Errorf("the log does not say once that the stream broke because %q", c.reason)
				}
				if n := th.Status().Oddities[c.odd]; c.odd != "" && n < 1000 {
					t.Errorf("%d answers were counted as %s, want more than 1,000", n, c.odd)
				}
				if n := len(th.Log.Lines("odd answer")); n > 200 {
					t.Errorf("%d lines about odd answers, want at most 100 a second", n)
				}
				th.mine = th.first.Answer()
				th.again("right")
				if task := th.WaitOne(th.id); task.GetResult() != "right" || task.Redeliveries != 1 {
					t.Errorf("the task ended %v", task)
				}
				th.History()
			})
		})
	}
}

// TestAWorkerMayBeOddForLong: what an honest worker does that is slow, or too simple to say Started, is not nonsense.
func TestAWorkerMayBeOddForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		for range 1300 { // 50 a second, for longer than what is forgiven at once lasts
			th.mine.Outcomes(outcome(999, 1, "nobody asked"))
			th.mine.Say(&pb.ProcessResponse{Progress: []*pb.Progress{{TaskId: 999, Attempt: 1}}})
			time.Sleep(20 * time.Millisecond)
		}
		for range 1300 { // never Started
			id := th.Submit("echo", "x")
			a := th.mine.Assigned()
			for a.TaskId != id { // th.id, again and again
				a = th.mine.Assigned()
			}
			th.mine.Result(a, "right")
			th.WaitOne(id)
		}
		if n := len(th.Log.Lines("stream to worker broke")); n != 0 {
			t.Errorf("the worker was hung up on %d times", n)
		}
	})
}

func TestAWorkerWithoutAHelloIsNotUsedAndItsStatusSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		hello  *pb.Hello
		reason string
	}{
		"no Hello":          {nil, "its first message has no Hello"},
		"another id":        {&pb.Hello{WorkerId: "second", LeaseId: "lease-of-first"}, `worker "second" answers at this address`},
		"another lease":     {&pb.Hello{WorkerId: "first", LeaseId: "old"}, `worker "first" answers at this address, under another lease`},
		"an endless Hello":  {&pb.Hello{WorkerId: "first", LeaseId: "lease-of-first", Running: make([]*pb.Running, 70_000)}, "its Hello names 70000 attempts: must be at most 65536"},
		"a silent beginner": {silence, "no Hello within 3s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New(t)
				table := g.StartNameTable()
				g.StartDispatcher()
				first, second := g.StartPuppet("first", "echo"), g.StartPuppet("second", "echo")
				first.Greet(c.hello)
				table.List(first.Entry, second.Entry)
				line := second.Answer()
				g.AwaitWorker("second")
				for range 5 {
					id := g.Submit("echo", "x")
					line.Result(line.Assigned(), "right")
					if task := g.WaitOne(id); task.WorkerId != "second" {
						t.Errorf("done by %s", task.WorkerId)
					}
				}
				time.Sleep(4 * time.Second)
				for _, w := range g.Status().Workers {
					if w.Worker.WorkerId == "first" && (w.Connected || !strings.Contains(w.Error, c.reason)) {
						t.Errorf("the status of the worker: connected %v, %q; want the error %q", w.Connected, w.Error, c.reason)
					}
				}
			})
		})
	}
}
