package client_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// numbered yields n tasks of type upper, with different payloads.
func numbered(n int) iter.Seq[*pb.TaskSpec] {
	return func(yield func(*pb.TaskSpec) bool) {
		for i := range n {
			if !yield(spec(fmt.Sprint("t", i))) {
				return
			}
		}
	}
}

func TestRunAllYieldsEachTaskOnceThoughStreamsBreak(t *testing.T) {
	for _, limit := range []int{0, 2, 3} {
		t.Run(fmt.Sprint("streams break after ", limit), func(t *testing.T) {
			inGrid(t, func(t *testing.T, w *world, c *client.Client) {
				const n = 200
				w.leader.CutStreamsAfter(limit)
				w.leader.LoseAnswers(limit)
				seen := map[string]int{}
				for f, err := range c.RunAll(t.Context(), 16, numbered(n)) {
					if err != nil {
						t.Fatal(err)
					}
					if want := strings.ToUpper(f.Spec.Payload); f.Task.GetResult() != want {
						t.Errorf("%s ended as %q, want %q", f.Spec.Payload, f.Task.GetResult(), want)
					}
					seen[f.Spec.Payload]++
				}
				for payload, times := range seen {
					if times != 1 {
						t.Errorf("%s was yielded %d times, want once", payload, times)
					}
				}
				if len(seen) != n || w.grid.Count() != n {
					t.Errorf("%d of %d tasks were yielded, the grid ran %d", len(seen), n, w.grid.Count())
				}
			})
		})
	}
}

func TestRunAllGoesOnThroughARestart(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		w.others.Go(func() {
			time.Sleep(time.Second)
			w.restart(time.Second)
			w.grid.Release()
		})
		n := 0
		for _, err := range c.RunAll(t.Context(), 50, numbered(120)) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 120 || w.grid.Count() != 120 {
			t.Errorf("%d tasks were yielded and the grid ran %d, want 120", n, w.grid.Count())
		}
	})
}

func TestRunAllHasNoMoreOutThanItMay(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range c.RunAll(ctx, 7, numbered(100)) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("RunAll = %v, want the context's error", err)
			}
		}
		if n := w.grid.Count(); n != 7 {
			t.Errorf("while nothing ends, %d tasks are out, want 7", n)
		}
	})
}

// TestWhatEndedMayDecideWhatComesNext: a loop that hands each next task to the iterator itself, and waits until that has
// taken it, does not wait for ever. What is yielded is not out any more.
func TestWhatEndedMayDecideWhatComesNext(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		const inFlight, n = 4, 20
		w.grid.Hold()
		w.others.Go(func() { // so that all that are out end at once
			w.grid.WaitForTasks(inFlight)
			w.grid.Release()
		})
		next := make(chan *pb.TaskSpec)
		given := inFlight
		specs := func(yield func(*pb.TaskSpec) bool) {
			for i := range inFlight {
				if !yield(spec(fmt.Sprint(i))) {
					return
				}
			}
			for s := range next {
				if !yield(s) {
					return
				}
			}
		}
		ended := 0
		for _, err := range c.RunAll(t.Context(), inFlight, specs) {
			if err != nil {
				t.Fatal(err)
			}
			if ended++; given < n {
				next <- spec(fmt.Sprint(given))
				if given++; given == n {
					close(next)
				}
			}
		}
		if ended != n {
			t.Errorf("%d tasks ended, want %d", ended, n)
		}
	})
}

func TestNoTasksAtAllAreSoonDone(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.leader.CutStreamsAfter(1)
		for f, err := range c.RunAll(t.Context(), 4, numbered(0)) {
			t.Errorf("yielded %v, %v; want nothing", f, err)
		}
	})
}

func TestRunAllYieldsARefusalAndGoesOn(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		var refused, done int
		specs := slices.Values([]*pb.TaskSpec{spec("a"), {Type: "nonsense"}, spec("b")})
		for f, err := range c.RunAll(t.Context(), 1, specs) {
			if err != nil {
				t.Fatal(err)
			}
			if f.Err != nil {
				refused++
			} else {
				done++
			}
		}
		if refused != 1 || done != 2 {
			t.Errorf("%d refused and %d done, want 1 and 2", refused, done)
		}
	})
}

func TestRunAllEndsWithATaskThatCannotBeSent(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		var last error
		for _, err := range c.RunAll(t.Context(), 4, slices.Values([]*pb.TaskSpec{spec("a"), spec("\xff")})) {
			last = err
		}
		var refused *client.RefusedError
		if !errors.As(last, &refused) || !strings.Contains(last.Error(), "payload") {
			t.Errorf("RunAll = %v; want the payload refused", last)
		}
	})
}

func TestRunAllLeftEarlyLeavesNothingBehind(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for range c.RunAll(t.Context(), 4, numbered(1000)) {
			break
		}
		synctest.Wait()
		if n := w.grid.Count(); n > 16 {
			t.Errorf("after the first of 1000 the caller left, but %d were submitted", n)
		}
	})
}

func TestTwoTasksWithOneKeyEndTogether(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		same := func() *pb.TaskSpec {
			return &pb.TaskSpec{Type: "upper", Payload: "x", IdempotencyKey: "k"}
		}
		n := 0
		for f, err := range c.RunAll(t.Context(), 2, slices.Values([]*pb.TaskSpec{same(), same()})) {
			if err != nil || f.Task.GetId() != 1 {
				t.Fatalf("RunAll = %v, %v; want task 1", f, err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d submissions ended, want 2", n)
		}
	})
}
