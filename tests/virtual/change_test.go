package virtual

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

func refusal(err error) codes.Code {
	if r, ok := err.(*client.RefusedError); ok {
		return r.Code
	}
	return codes.OK
}

func TestACancelReachesTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		ended := make(chan error, 1)
		g.StartWorker("w", map[string]workers.Handler{"patient": func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return "wrong", nil
		}}, func(c *workers.Config) { c.Capacity = 1 })
		g.AwaitWorker("w")
		id := g.Submit("patient", "x")
		g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		queued := g.Submit("patient", "y")
		start := time.Now()
		changed, err := g.Client().Cancel(g.Context(), "enough", id)
		if err != nil || changed[0].Err != nil {
			t.Fatalf("cancel: %v, %v", changed, err)
		}
		if err := <-ended; err != context.Canceled || time.Since(start) > atOnce {
			t.Errorf("the handler's context ended with %v after %v", err, time.Since(start))
		}
		g.AwaitState(queued, pb.TaskState_TASK_STATE_PROCESSING) // the slot is free
		if task := g.Get(id); task.State != pb.TaskState_TASK_STATE_CANCELLED || task.Error != "enough" || task.Result != nil {
			t.Errorf("got %v", task)
		}
		g.Client().Cancel(g.Context(), "", queued)
		<-ended
		time.Sleep(time.Second)
		if odd := g.Status().Oddities; len(odd) != 0 {
			t.Errorf("that the handlers returned is counted as odd: %v", odd)
		}
	})
}

func TestEveryTaskOfACancelIsJudgedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "reverse", "wait")
		done, running := g.Submit("reverse", "ab"), g.Submit("wait", "100")
		g.WaitOne(done)
		changed, err := g.Client().Cancel(g.Context(), "", done, running, 999, running)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []codes.Code{codes.FailedPrecondition, codes.OK, codes.NotFound, codes.FailedPrecondition} {
			if got := refusal(changed[i].Err); got != want {
				t.Errorf("task %d: got %v, want %v", changed[i].ID, changed[i].Err, want)
			}
		}
		if task := g.Get(running); task.State != pb.TaskState_TASK_STATE_CANCELLED || !strings.Contains(task.Error, "client") {
			t.Errorf("cancelled without a reason: got %v, %q; want who did it", task.State, task.Error)
		}
		g.History()
	})
}

func TestWhileATaskWaitsForItsNextAttemptItCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t)
		th.mine.Start(th.a)
		th.mine.Fail(th.a, pb.ErrorKind_ERROR_KIND_RETRYABLE, "not yet")
		th.AwaitState(th.id, pb.TaskState_TASK_STATE_RETRYING)
		th.Client().Cancel(th.Context(), "enough", th.id)
		time.Sleep(time.Minute)
		if task := th.Get(th.id); task.State != pb.TaskState_TASK_STATE_CANCELLED || !th.mine.Idle() {
			t.Errorf("got %v", task)
		}
		th.History()
	})
}

func TestARetriedTaskIsANewOneThatNamesTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "sum", "wait")
		spec := &pb.TaskSpec{Type: "sum", Payload: "x", IdempotencyKey: "k", Priority: 3, MaxAttempts: 2, Labels: map[string]string{"a": "b"}}
		failed, completed := g.SubmitSpec(spec), g.Submit("sum", "1,2")
		g.Wait(failed, completed)
		cancelled := g.Submit("wait", "100")
		g.Client().Cancel(g.Context(), "", cancelled)
		changed, err := g.Client().Retry(g.Context(), failed, completed, cancelled, 999, failed)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []codes.Code{codes.OK, codes.FailedPrecondition, codes.OK, codes.NotFound, codes.OK} {
			if got := refusal(changed[i].Err); got != want || (want == codes.OK) != (changed[i].NewID != 0) {
				t.Errorf("task %d: got %+v, want %v", changed[i].ID, changed[i], want)
			}
		}
		again := g.WaitOne(changed[0].NewID)
		if again.RetryOf != failed || again.Payload != "x" || again.Priority != 3 || again.MaxAttempts != 2 || again.Labels["a"] != "b" || again.IdempotencyKey != "" {
			t.Errorf("the new task: got %v", again)
		}
		if old := g.Get(failed); old.State != pb.TaskState_TASK_STATE_FAILED || len(old.History) != 5 {
			t.Errorf("the old task changed: %v", old)
		}
		if changed[0].NewID == changed[4].NewID {
			t.Errorf("two retries of a task made one: %d", changed[4].NewID)
		}
	})
}

func TestWaitTasksNamesTheIdsThatAreNotKnownBeforeAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse")
		id := g.Submit("reverse", "ab")
		g.WaitOne(id)
		stream, err := d.API().WaitTasks(t.Context(), &pb.WaitTasksRequest{Ids: []uint64{id, 77, 88}})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "77 88") {
			t.Errorf("got %v, %v; want NOT_FOUND that names 77 and 88", resp, err)
		}
		if got := g.Wait(id, id, id); len(got) != 1 {
			t.Errorf("the same id three times: %v", got)
		}
	})
}

// list reads all pages.
func list(t *testing.T, api pb.DispatcherClient, req *pb.ListTasksRequest, between func()) (ids []uint64) {
	t.Helper()
	for {
		resp, err := api.ListTasks(t.Context(), req)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, task := range resp.Tasks {
			ids = append(ids, task.Id)
		}
		if resp.NextPageToken == "" {
			return ids
		}
		req.PageToken = resp.NextPageToken
		between()
	}
}

func TestPagesNameEachTaskOnceWhileTasksChange(t *testing.T) {
	for _, ascending := range []bool{true, false} {
		t.Run(fmt.Sprint("ascending ", ascending), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d := Start(t, "reverse")
				api := d.API()
				for range 30 {
					g.Submit("reverse", "ab")
				}
				got := list(t, api, &pb.ListTasksRequest{PageSize: 7, Ascending: ascending, View: pb.TaskView_TASK_VIEW_BASIC}, func() {
					g.WaitOne(g.Submit("reverse", "new"))
				})
				var want []uint64
				for id := uint64(1); id <= 30; id++ {
					want = append(want, id)
				}
				if !ascending {
					slices.Reverse(want)
				} else { // the new ones come last
					want = append(want, got[min(30, len(got)):]...)
				}
				if !slices.Equal(got, want) || !ascending && len(got) != 30 {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

func TestAListShowsWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "sum")
		api := d.API()
		reverse := g.SubmitSpec(&pb.TaskSpec{Type: "reverse", Payload: "needle", Labels: map[string]string{"who": "me"}})
		failed, sum := g.Submit("sum", "x"), g.Submit("sum", "1")
		g.Wait(reverse, failed, sum)
		for name, c := range map[string]struct {
			req  *pb.ListTasksRequest
			want []uint64
		}{
			"by type":    {&pb.ListTasksRequest{Type: "sum"}, []uint64{sum, failed}},
			"by state":   {&pb.ListTasksRequest{States: []pb.TaskState{pb.TaskState_TASK_STATE_FAILED}}, []uint64{failed}},
			"by payload": {&pb.ListTasksRequest{Text: "eedl"}, []uint64{reverse}},
			"by result":  {&pb.ListTasksRequest{Text: "eldeen"}, []uint64{reverse}},
			"by label":   {&pb.ListTasksRequest{Text: "me"}, []uint64{reverse}},
			"by nothing": {&pb.ListTasksRequest{Text: "no such text"}, nil},
		} {
			if got := list(t, api, c.req, func() {}); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", name, got, c.want)
			}
		}
		for name, req := range map[string]*pb.ListTasksRequest{
			"page_token": {PageToken: "forged"},
			"page_size":  {PageSize: 1001},
			"text":       {Text: strings.Repeat("x", 257)},
			"type":       {Type: "No Such"},
			"states":     {States: []pb.TaskState{99}},
			"view":       {View: 7},
		} {
			if _, err := api.ListTasks(t.Context(), req); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), name+":") {
				t.Errorf("%s: got %v, want INVALID_ARGUMENT that names it", name, err)
			}
		}
	})
}

func TestProgressOfARunningTaskIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "wait")
		id := g.Submit("wait", "10")
		g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		time.Sleep(5100 * time.Millisecond)
		if p := g.Get(id).Progress; p < 0.45 || p > 0.55 {
			t.Errorf("after half of the time the progress is %v", p)
		}
		g.WaitOne(id)
	})
}
