package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

func TestEventsComeOnceAndInOrderThoughStreamsBreak(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for range 10 {
			if _, err := c.Run(t.Context(), spec("x")); err != nil {
				t.Fatal(err)
			}
		}
		w.leader.CutStreamsAfter(4)
		next := uint64(1)
		for event, err := range c.Events(t.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Sequence != next {
				t.Fatalf("event %d came, want %d", event.Sequence, next)
			}
			next++
		}
		if next != 51 { // CREATED, QUEUED, DISPATCHED, PROCESSING, COMPLETED
			t.Errorf("%d events came, want 50", next-1)
		}
	})
}

func TestEventsFromNowMissNothingThatHappensWhileTheConnectionIsDown(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		if _, err := c.Run(t.Context(), spec("before")); err != nil {
			t.Fatal(err)
		}
		w.others.Go(func() {
			time.Sleep(time.Second)
			w.stop()
			time.Sleep(time.Second)
			w.stop = w.net.Serve(firstAddress, w.leader, nil)
			other := w.client(t, client.Config{})
			if _, err := other.Submit(t.Context(), spec("during")); err != nil {
				t.Error(err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for event, err := range c.Events(ctx, &pb.WatchEventsRequest{FromNow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if event.Sequence != 6 || event.GetTask().GetId() != 2 {
				t.Fatalf("the first event is %v, want number 6, of task 2", event)
			}
			break
		}
	})
}

func TestListYieldsAllPages(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for range 25 {
			if _, err := c.Submit(t.Context(), spec("x")); err != nil {
				t.Fatal(err)
			}
		}
		var ids []uint64
		for task, err := range c.List(t.Context(), &pb.ListTasksRequest{PageSize: 10, Ascending: true}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, task.Id)
		}
		if len(ids) != 25 || ids[0] != 1 || ids[24] != 25 {
			t.Errorf("List yields %v, want 1 to 25", ids)
		}
	})
}

func TestARetryInDoubtIsNotSentAgain(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		if _, err := c.Run(t.Context(), &pb.TaskSpec{Type: "fail"}); err != nil {
			t.Fatal(err)
		}
		w.leader.LoseAnswers(1)
		_, err := c.Retry(t.Context(), 1)
		if err == nil || errors.Is(err, client.ErrUnreachable) {
			t.Errorf("Retry whose answer was lost = %v; want an error that says it is not known", err)
		}
		if n := w.grid.Count(); n != 2 {
			t.Errorf("the grid has %d tasks, want the failed one and one more", n)
		}
	})
}

func TestARetryThatDidNotReachTheLeaderIsSentAgain(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		if _, err := c.Run(t.Context(), &pb.TaskSpec{Type: "fail"}); err != nil {
			t.Fatal(err)
		}
		w.stop()
		synctest.Wait() // until the client has noticed
		w.others.Go(func() {
			time.Sleep(5 * time.Second)
			w.stop = w.net.Serve(firstAddress, w.leader, nil)
		})
		changed, err := c.Retry(t.Context(), 1)
		if err != nil || changed[0].NewID != 2 {
			t.Errorf("Retry = %v, %v; want task 2", changed, err)
		}
	})
}

func TestCancelAnswersForEachTask(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		if _, err := c.Run(t.Context(), spec("ended")); err != nil {
			t.Fatal(err)
		}
		w.grid.Hold()
		id, err := c.Submit(t.Context(), spec("waits"))
		if err != nil {
			t.Fatal(err)
		}
		changed, err := c.Cancel(t.Context(), "no longer needed", 1, id, 99)
		if err != nil {
			t.Fatal(err)
		}
		want := []codes.Code{codes.FailedPrecondition, codes.OK, codes.NotFound}
		for i, r := range changed {
			code := codes.OK
			var refused *client.RefusedError
			if errors.As(r.Err, &refused) {
				code = refused.Code
			}
			if code != want[i] {
				t.Errorf("task %d: %v, want %v", r.ID, code, want[i])
			}
		}
	})
}

func TestDrainMarksTheWorkerAtTheNameService(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		for _, draining := range []bool{true, false} {
			if err := c.Drain(t.Context(), "upper-1", draining); err != nil || w.names.Draining("upper-1") != draining {
				t.Errorf("Drain(%v) = %v; the mark is %v", draining, err, w.names.Draining("upper-1"))
			}
		}
		var refused *client.RefusedError
		if err := c.Drain(t.Context(), "nobody", true); !errors.As(err, &refused) || refused.Code != codes.NotFound {
			t.Errorf("Drain(nobody) = %v; want NOT_FOUND", err)
		}
		w.stopName()
		if err := c.Drain(t.Context(), "upper-1", true); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("Drain without a name service = %v; want ErrUnreachable", err)
		}
	})
}
