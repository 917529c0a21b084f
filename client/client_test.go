package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	"taskgrid/client/fakegrid"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	nameAddress  = "10.0.0.1:50051"
	firstAddress = "10.0.0.2:50052"
	otherAddress = "10.0.0.3:50052"
)

// world is a fake grid on a network in memory, with one name service and one dispatcher that leads.
type world struct {
	grid     *fakegrid.Grid
	net      *fakegrid.Network
	names    *fakegrid.NameService
	leader   *fakegrid.Dispatcher
	stop     func() // the leader
	stopName func()
	others   sync.WaitGroup // what breaks things while the test waits
}

// inGrid runs test in virtual time, in a fake grid that ends with it.
func inGrid(t *testing.T, test func(t *testing.T, w *world, c *client.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{grid: fakegrid.NewGrid(map[string]fakegrid.Handler{"upper": upper, "fail": fail}), net: fakegrid.NewNetwork(),
			names: fakegrid.NewNameService("upper-1")}
		w.leader = fakegrid.NewDispatcher(w.grid)
		w.stop = w.net.Serve(firstAddress, w.leader, nil)
		t.Cleanup(func() { w.others.Wait(); w.stop() })
		w.stopName = w.net.Serve(nameAddress, nil, w.names)
		t.Cleanup(w.stopName)
		w.names.Announce("d1", firstAddress, 1)
		test(t, w, w.client(t, client.Config{}))
	})
}

// client returns a client in this world; it knows the name service.
func (w *world) client(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	if cfg.Dispatcher == "" {
		cfg.NameServices = nameAddress
	}
	cfg.DialOptions = append(cfg.DialOptions, w.net.Option())
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// restart breaks the leader's connections and serves the same disk again after a while.
func (w *world) restart(after time.Duration) {
	w.stop()
	time.Sleep(after)
	w.stop = w.net.Serve(firstAddress, w.leader, nil)
}

func upper(payload string) (string, error) { return strings.ToUpper(payload), nil }
func fail(payload string) (string, error)  { return "", errors.New("bad payload: " + payload) }

func spec(payload string) *pb.TaskSpec { return &pb.TaskSpec{Type: "upper", Payload: payload} }

func TestRunReturnsTheResult(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		task, err := c.Run(t.Context(), spec("hello"))
		if err != nil || task.GetResult() != "HELLO" {
			t.Fatalf("Run(upper hello) = %q, %v; want HELLO", task.GetResult(), err)
		}
	})
}

func TestAFailedTaskIsAnAnswerAndNoError(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		task, err := c.Run(t.Context(), &pb.TaskSpec{Type: "fail", Payload: "x"})
		if err != nil || task.State != pb.TaskState_TASK_STATE_FAILED || task.Error != "bad payload: x" {
			t.Fatalf("Run(fail x) = %v, %v; want a FAILED task", task, err)
		}
	})
}

func TestASubmissionInDoubtIsSentAgainAndMakesOneTask(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.leader.LoseAnswers(3)
		id, err := c.Submit(t.Context(), spec("once"))
		if err != nil || id != 1 {
			t.Fatalf("Submit = %d, %v; want task 1", id, err)
		}
		if n := w.grid.Count(); n != 1 {
			t.Errorf("after four tries of one submission the grid has %d tasks, want 1", n)
		}
		calls := w.leader.Calls()
		if len(calls) != 4 || len(slices.Compact(calls)) != 1 {
			t.Errorf("calls = %q; want four with one request id", w.leader.Calls())
		}
	})
}

func TestTwoSubmissionsOfTheSameTaskAreTwoTasks(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		results := c.SubmitMany(t.Context(), []*pb.TaskSpec{spec("a"), spec("a")})
		if results[0].ID != 1 || results[1].ID != 2 {
			t.Fatalf("SubmitMany(a, a) = %v; want tasks 1 and 2", results)
		}
		other := w.client(t, client.Config{})
		if id, err := other.Submit(t.Context(), spec("a")); err != nil || id != 3 {
			t.Fatalf("Submit(a) of another client = %v, %v; want task 3", id, err)
		}
	})
}

func TestOneBadTaskDoesNotRefuseTheOthers(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		results := c.SubmitMany(t.Context(), []*pb.TaskSpec{
			spec("a"), {Type: "nonsense"}, {Type: "upper", Payload: "ab\xffc"}, spec("b")})
		var refused *client.RefusedError
		if results[0].ID != 1 || results[3].ID != 2 {
			t.Errorf("the good ones got %v and %v; want tasks 1 and 2", results[0], results[3])
		}
		if !errors.As(results[1].Err, &refused) || refused.Code != codes.FailedPrecondition || !strings.Contains(refused.Message, "upper") {
			t.Errorf("unknown type: %v; want FAILED_PRECONDITION that names the known ones", results[1].Err)
		}
		if want := "payload: byte 0xff at offset 2: must be valid UTF-8"; results[2].Err == nil || results[2].Err.Error() != want {
			t.Errorf("invalid UTF-8: %v; want %q", results[2].Err, want)
		}
	})
}

func TestManyTasksAreSubmittedInBoundedCalls(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		specs := make([]*pb.TaskSpec, 2500)
		for i := range specs {
			specs[i] = spec(fmt.Sprint(i))
		}
		for i, r := range c.SubmitMany(t.Context(), specs) {
			if r.Err != nil || r.ID != uint64(i+1) {
				t.Fatalf("task %d got %v", i, r)
			}
		}
		if n := len(w.leader.Calls()); n != 3 {
			t.Errorf("2,500 tasks took %d calls, want 3", n)
		}
	})
}

func TestWaitGoesOnThroughARestartAndTellsOfEachTaskOnce(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		var ids []uint64
		for i := range 20 {
			id, err := c.Submit(t.Context(), spec(fmt.Sprint("t", i)))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		w.others.Go(func() {
			time.Sleep(time.Second)
			w.restart(3 * time.Second)
			w.leader.CutStreamsAfter(3) // and every stream breaks after three answers
			w.grid.Release()
		})
		var ended []uint64
		for task, err := range c.Wait(t.Context(), append(ids, ids...)...) {
			if err != nil {
				t.Fatal(err)
			}
			ended = append(ended, task.Id)
		}
		slices.Sort(ended)
		if !slices.Equal(ended, ids) {
			t.Errorf("Wait told of %v, want each of %v once", ended, ids)
		}
	})
}

func TestAWaitThatIsNotReadToTheEndLeavesNothingBehind(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for _, r := range c.SubmitMany(t.Context(), []*pb.TaskSpec{spec("a"), spec("b")}) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		for range c.Wait(t.Context(), 1, 2) {
			break // synctest fails the test if a goroutine stays
		}
	})
}

func TestWaitForATaskThatIsNotThereSaysSo(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for _, err := range c.Wait(t.Context(), 7) {
			var refused *client.RefusedError
			if !errors.As(err, &refused) || refused.Code != codes.NotFound || refused.RequestID == "" {
				t.Errorf("Wait(7) = %v; want NOT_FOUND with a request id", err)
			}
		}
	})
}

func TestAnUnreachableGridIsSaidWithinThePatience(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, _ *client.Client) {
		w.stop()
		w.stopName()
		c := w.client(t, client.Config{NameServices: nameAddress, Dispatcher: firstAddress, Patience: 2 * time.Second})
		begin := time.Now()
		_, err := c.Submit(t.Context(), spec("x"))
		if !errors.Is(err, client.ErrUnreachable) {
			t.Fatalf("Submit = %v; want ErrUnreachable", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v, want at most the patience of 2s", took)
		}
		if !strings.Contains(err.Error(), firstAddress) {
			t.Errorf("%q does not say what was tried", err)
		}
	})
}

func TestACallGoesOnWhileADispatcherIsAwayThatWasReachedBefore(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, _ *client.Client) {
		c := w.client(t, client.Config{Patience: 2 * time.Second})
		if _, err := c.Submit(t.Context(), spec("first")); err != nil {
			t.Fatal(err)
		}
		w.stop()
		w.others.Go(func() {
			time.Sleep(time.Minute)
			w.stop = w.net.Serve(firstAddress, w.leader, nil)
		})
		begin := time.Now()
		if _, err := c.Submit(t.Context(), spec("second")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 63*time.Second {
			t.Errorf("the dispatcher came back after a minute, the call after %v", took)
		}
	})
}

func TestTheEndOfTheContextEndsACall(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		id, err := c.Submit(t.Context(), spec("x"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, err := range c.Wait(ctx, id) {
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnreachable) {
				t.Errorf("a wait that took too long = %v; want only the context's error", err)
			}
		}
		w.stop()
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := c.Submit(ctx, spec("y")); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("a call whom nobody answered = %v; want both, unreachable and the context's error", err)
		}
	})
}

func TestAQuietWaitIsNoSilentGrid(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, _ *client.Client) {
		var log strings.Builder
		c := w.client(t, client.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.grid.Hold()
		id, err := c.Submit(t.Context(), spec("x"))
		if err != nil {
			t.Fatal(err)
		}
		w.others.Go(func() {
			for range 3 { // each restart is short, and nothing ends in between
				time.Sleep(time.Minute)
				w.restart(100 * time.Millisecond)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for _, err := range c.Wait(ctx, id) {
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnreachable) {
				t.Errorf("Wait = %v; want only the context's error: the grid is there", err)
			}
		}
		if log.Len() > 0 {
			t.Errorf("the log has %q; want nothing", log.String())
		}
	})
}

func TestALongSilenceIsLoggedOnceAndSoIsItsEnd(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, _ *client.Client) {
		var log strings.Builder
		c := w.client(t, client.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.stop()
		w.others.Go(func() {
			time.Sleep(time.Minute)
			w.stop = w.net.Serve(firstAddress, w.leader, nil)
		})
		if _, err := c.Submit(t.Context(), spec("x")); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("the log has %d lines, want 2:\n%s", lines, log.String())
		}
	})
}
