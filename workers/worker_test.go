package workers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

// echo returns its payload at once.
func echo(_ context.Context, payload string) (string, error) { return payload, nil }

// hang works until its context ends, and returns its error.
func hang(ctx context.Context, _ string) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

var testHandlers = map[string]Handler{
	"echo":  echo,
	"hang":  hang,
	"wait":  wait,
	"panic": func(context.Context, string) (string, error) { panic("ouch") },
	"long":  func(context.Context, string) (string, error) { return strings.Repeat("x", 64<<10+1), nil },
	"bytes": func(context.Context, string) (string, error) { return "\xff", nil },
	"fail": func(_ context.Context, payload string) (string, error) {
		err := errors.New("no luck")
		switch payload {
		case "invalid":
			return "", InvalidPayload(err)
		case "permanent":
			return "", Permanent(err)
		}
		return "", err
	},
}

func TestEachAssignmentGivesStartedAndAnOutcome(t *testing.T) {
	for _, test := range []struct {
		taskType, payload string
		result            string
		kind              pb.ErrorKind
		message           string
	}{
		{"echo", "hello", "hello", 0, ""},
		{"echo", "", "", 0, ""},
		{"fail", "", "", pb.ErrorKind_ERROR_KIND_RETRYABLE, "no luck"},
		{"fail", "invalid", "", pb.ErrorKind_ERROR_KIND_INVALID_PAYLOAD, "no luck"},
		{"fail", "permanent", "", pb.ErrorKind_ERROR_KIND_PERMANENT, "no luck"},
		{"panic", "", "", pb.ErrorKind_ERROR_KIND_RETRYABLE, "the handler panicked: ouch"},
		{"long", "", "", pb.ErrorKind_ERROR_KIND_PERMANENT, "the result has 65537 bytes: at most 65536 are allowed"},
		{"bytes", "", "", pb.ErrorKind_ERROR_KIND_PERMANENT, "the result is not valid UTF-8"},
		{"hang", "", "", pb.ErrorKind_ERROR_KIND_RETRYABLE, "deadline exceeded: context deadline exceeded"},
	} {
		t.Run(test.taskType+" "+test.payload, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTestGrid(t, testHandlers, nil).dial()
				d.assign(task(1, test.taskType, test.payload))
				d.until(d.answered(1))
				o := d.outcomes[first(1)]
				if o == nil || o.Result != test.result || o.Error.GetKind() != test.kind || o.Error.GetMessage() != test.message {
					t.Errorf("got %v, want %q, %v %q", o, test.result, test.kind, test.message)
				}
				if !slices.Equal(d.started, []Key{first(1)}) {
					t.Errorf("started: %v", d.started)
				}
			})
		})
	}
}

func TestAWorkerLivesOnAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, nil).dial()
		for id := range uint64(10) {
			d.assign(task(id, "panic", ""))
		}
		d.until(d.answered(10))
		d.assign(task(100, "echo", "alive"))
		d.until(d.answered(11))
		if got := d.outcomes[first(100)].GetResult(); got != "alive" {
			t.Errorf("after ten panics echo returned %q", got)
		}
	})
}

func TestMoreThanCapacityAndWindowIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 1 }).dial()
		d.assign(task(1, "wait", "1"), task(2, "wait", "1"), task(3, "echo", "x"), task(4, "echo", "x"))
		d.until(d.answered(4))
		if len(d.outcomes) != 3 || d.refused[first(4)] != "no free slot" || d.leaving[first(4)] {
			t.Errorf("outcomes %v, refused %v: want the first three done and the fourth refused", d.outcomes, d.refused)
		}
	})
}

func TestAnUnknownTypeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, nil).dial()
		d.assign(task(1, "nonsense", ""))
		d.until(d.answered(1))
		if d.refused[first(1)] == "" {
			t.Errorf("got %v", d.outcomes)
		}
	})
}

func TestTheSameAttemptRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, nil).dial()
		again := task(1, "wait", "1")
		second := task(1, "echo", "second")
		second.Attempt = 2
		d.assign(again, again)
		d.assign(again, second) // another attempt of the same task is another thing
		d.until(d.answered(2))
		d.assign(again) // its outcome is not acknowledged yet
		time.Sleep(time.Minute)
		d.assign(task(2, "echo", "end"))
		d.until(d.answered(3))
		if len(d.started) != 3 || d.outcomes[first(1)].GetResult() != "waited 1s" || d.outcomes[Key{1, 2}].GetResult() != "second" {
			t.Errorf("started %v, outcomes %v: want each attempt once", d.started, d.outcomes)
		}
	})
}

func TestCancelEndsTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 8 })
		d := g.dial()
		d.assign(task(1, "hang", ""), task(2, "hang", ""), task(3, "hang", ""))
		d.until(func() bool { return len(d.started) == 2 })
		start := time.Now()
		d.cancel(first(1)) // runs
		d.until(d.answered(1))
		d.until(func() bool { return len(d.started) == 3 }) // 3 has the slot
		d.cancel(first(2))
		d.cancel(first(3))
		d.until(d.answered(3))
		if took := time.Since(start); took != 0 {
			t.Errorf("cancelling took %s", took)
		}
		if hello := g.dial().hello; len(hello.Outcomes)+len(hello.Running) != 0 {
			t.Errorf("after the cancels the worker still holds %v", hello)
		}
	})
}

func TestCancelOfAWaitingAttemptHandsItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 1 }).dial()
		d.assign(task(1, "wait", "1"), task(2, "wait", "1"), task(3, "echo", ""))
		d.cancel(first(3))
		d.until(d.answered(3))
		if d.refused[first(3)] != "cancelled before it started" || slices.Contains(d.started, first(3)) {
			t.Errorf("started %v, refused %v", d.started, d.refused)
		}
	})
}

func TestAnAttemptWhoseTimePassesInTheWindowIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 1 }).dial()
		short := task(3, "echo", "")
		short.Timeout = durationpb.New(time.Second)
		d.assign(task(1, "wait", "2"), task(2, "wait", "2"), short)
		d.until(d.answered(3))
		if d.refused[first(3)] == "" || slices.Contains(d.started, first(3)) {
			t.Errorf("started %v, refused %v", d.started, d.refused)
		}
	})
}

func TestWaitReportsItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, nil).dial()
		d.assign(task(1, "wait", "10"))
		d.until(d.answered(1))
		reports := d.progress[first(1)]
		if len(reports) < 30 || !slices.IsSorted(reports) || reports[0] > 0.05 || reports[len(reports)-1] < 0.95 {
			t.Errorf("reports of wait 10: %v", reports)
		}
	})
}

func TestReportsAreTenASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chatty := func(ctx context.Context, _ string) (string, error) {
			for i := range 1000 {
				Report(ctx, float64(i)/1000)
				time.Sleep(time.Millisecond)
			}
			return "", nil
		}
		d := newTestGrid(t, map[string]Handler{"chatty": chatty}, nil).dial()
		d.assign(task(1, "chatty", ""))
		d.until(d.answered(1))
		if n := len(d.progress[first(1)]); n < 5 || n > 10 {
			t.Errorf("%d reports in one second", n)
		}
	})
}

func TestANewStreamTakesOverWhatTheOldOneLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 1 })
		old := g.dial()
		old.assign(task(1, "echo", "kept"), task(2, "echo", "acknowledged"))
		old.until(old.answered(2))
		old.ack(first(2))
		old.assign(task(3, "wait", "5"), task(4, "wait", "5"), task(5, "echo", "later"))
		old.until(func() bool { return len(old.started) == 4 })
		synctest.Wait()

		d := g.dial() // the old one was not closed
		if err := old.rest(); status.Code(err) != codes.Aborted {
			t.Errorf("the old stream ended with %v, want ABORTED", err)
		}
		if len(d.hello.Outcomes) != 1 || d.hello.Outcomes[0].Result != "kept" {
			t.Errorf("Hello offers %v, want the outcome that was not acknowledged", d.hello.Outcomes)
		}
		var running, waits []uint64
		for _, r := range d.hello.Running {
			if r.Started {
				running = append(running, r.TaskId)
			} else {
				waits = append(waits, r.TaskId)
			}
		}
		slices.Sort(running)
		if !slices.Equal(running, []uint64{3, 4}) || !slices.Equal(waits, []uint64{5}) {
			t.Errorf("Hello names %v as running and %v as waiting", running, waits)
		}
		d.until(d.answered(3)) // what ran is told to the new stream
		if d.outcomes[first(3)].GetResult() != "waited 5s" || d.outcomes[first(5)].GetResult() != "later" {
			t.Errorf("outcomes on the new stream: %v", d.outcomes)
		}
	})
}

func TestOutcomesWaitForTheNextStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "wait", "5"))
		d.until(func() bool { return len(d.started) == 1 })
		d.hangUp()
		time.Sleep(30 * time.Second)
		hello := g.dial().hello
		if len(hello.Outcomes) != 1 || hello.Outcomes[0].Result != "waited 5s" || len(hello.Running) != 0 {
			t.Errorf("Hello after half a minute without a dispatcher: %v", hello)
		}
	})
}

func TestOutcomesThatDoNotFitIntoHelloFollowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := func(context.Context, string) (string, error) { return strings.Repeat("x", 60_000), nil }
		g := newTestGrid(t, map[string]Handler{"big": big}, func(c *Config) { c.Window = 98 })
		d := g.dial()
		for id := range uint64(100) {
			d.assign(task(id, "big", ""))
		}
		d.until(d.answered(100))
		d = g.dial()
		held, offered := len(d.hello.Running), len(d.hello.Outcomes)
		if held+offered != 100 || held == 0 || offered == 0 {
			t.Fatalf("Hello names %d attempts and %d outcomes, want 100 together", held, offered)
		}
		d.until(d.answered(held))
	})
}

func TestAHalfClosedStreamEndsWhenAllIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestGrid(t, testHandlers, nil).dial()
		d.assign(task(1, "wait", "5"), task(2, "echo", "x"))
		d.stream.CloseSend()
		if err := d.rest(); err != nil || len(d.outcomes) != 2 {
			t.Errorf("the stream ended with %v and %d outcomes", err, len(d.outcomes))
		}
	})
}

func TestADispatcherThatDoesNotListenIsNotListenedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		const batch, batches = 1000, 30
		sent := make(chan int, 1)
		go func() {
			n := 0
			defer func() { sent <- n }()
			for range batches {
				m := &pb.ProcessRequest{}
				for range batch {
					m.Assignments = append(m.Assignments, task(uint64(n), "nonsense", strings.Repeat("x", 100)))
					n++
				}
				if d.stream.Send(m) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		g.worker.engine.mu.Lock()
		pending := g.worker.engine.session.size()
		g.worker.engine.mu.Unlock()
		if pending > maxPending+batch {
			t.Errorf("%d answers wait to be sent, want at most %d", pending, maxPending+batch)
		}
		d.until(d.answered(batch * batches)) // it listens at last
		if n := <-sent; n != batch*batches {
			t.Errorf("only %d were sent", n)
		}
	})
}
