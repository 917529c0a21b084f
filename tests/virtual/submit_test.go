package virtual

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/client"
	"taskgrid/dispatcher"
	pb "taskgrid/proto/taskgrid/v1"
)

// submitAll submits without the library, which would add keys and split.
func submitAll(t *testing.T, api pb.DispatcherClient, specs ...*pb.TaskSpec) []*pb.SubmitResult {
	t.Helper()
	resp, err := api.SubmitTasks(t.Context(), &pb.SubmitTasksRequest{Tasks: specs})
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	if len(resp.Results) != len(specs) {
		t.Fatalf("%d results for %d tasks", len(resp.Results), len(specs))
	}
	return resp.Results
}

func expectRefusal(t *testing.T, what string, r *pb.SubmitResult, code codes.Code, words ...string) {
	t.Helper()
	if r.Id != 0 || codes.Code(r.Error.GetCode()) != code {
		t.Errorf("%s: got %v, want %v and no id", what, r, code)
	}
	for _, word := range words {
		if !strings.Contains(r.Error.GetMessage(), word) {
			t.Errorf("%s: %q does not say %q", what, r.Error.GetMessage(), word)
		}
	}
}

func TestOneBadTaskDoesNotRefuseTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "hash")
		api := d.API()
		r := submitAll(t, api,
			&pb.TaskSpec{Type: "reverse", Payload: "ab"},
			&pb.TaskSpec{Type: "juggle"},
			&pb.TaskSpec{Type: "No Such"},
			&pb.TaskSpec{Type: "hash", Payload: "x", Priority: 10},
			&pb.TaskSpec{Type: "hash", Payload: "x", Priority: -1},
			&pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 64<<10+1)},
			&pb.TaskSpec{Type: "hash", AttemptTimeout: durationpb.New(time.Microsecond)},
			&pb.TaskSpec{Type: "hash", MaxAttempts: 101},
			nil,
			&pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 64<<10)},
		)
		if r[0].Id != 1 || r[9].Id != 2 {
			t.Errorf("the good ones got %v and %v, want the ids 1 and 2: what is refused takes none", r[0], r[9])
		}
		expectRefusal(t, "unknown type", r[1], codes.FailedPrecondition, `"juggle"`, "hash, reverse")
		expectRefusal(t, "malformed type", r[2], codes.InvalidArgument, "type", `"No Such"`, "1 to 32 characters")
		expectRefusal(t, "priority 10", r[3], codes.InvalidArgument, "priority", "0 to 9")
		expectRefusal(t, "priority -1", r[4], codes.InvalidArgument, "priority", "0 to 9")
		expectRefusal(t, "long payload", r[5], codes.InvalidArgument, "payload", "65537 bytes", "65536")
		expectRefusal(t, "short timeout", r[6], codes.InvalidArgument, "attempt_timeout", "1ms")
		expectRefusal(t, "many attempts", r[7], codes.InvalidArgument, "max_attempts", "101", "1 to 100")
		expectRefusal(t, "nothing", r[8], codes.InvalidArgument, "type")
		g.Wait(1, 2)
	})
}

func TestATypeIsKnownForEverOnceAWorkerHasRegisteredIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher()
		r := submitAll(t, d.API(), &pb.TaskSpec{Type: "reverse"})
		expectRefusal(t, "before any worker", r[0], codes.FailedPrecondition, "none yet")
		w := g.StartWorker("w", Builtin("reverse"))
		g.AwaitWorker("w")
		w.Stop()
		g.AwaitChange(0, "w", "state", "")
		id := g.Submit("reverse", "ab")
		d.Kill()
		d.Restart()
		again := g.Submit("reverse", "cd")
		time.Sleep(2 * time.Minute) // twice as long as the name service remembers a worker
		if task := g.Get(id); task.State != pb.TaskState_TASK_STATE_QUEUED {
			t.Errorf("without a worker the task is %v", task.State)
		}
		w.Restart()
		g.Wait(id, again)
	})
}

func TestAFullQueueRefusesAndNeverDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher(func(c *dispatcher.Config) { c.MaxLive = 10 })
		g.StartWorker("w", Builtin("wait"))
		g.AwaitWorker("w")
		api := d.API()
		specs := make([]*pb.TaskSpec, 12)
		for i := range specs {
			specs[i] = &pb.TaskSpec{Type: "wait", Payload: "1", IdempotencyKey: fmt.Sprint(i)}
		}
		r := submitAll(t, api, specs...)
		var ids []uint64
		for _, accepted := range r[:10] {
			ids = append(ids, accepted.Id)
		}
		expectRefusal(t, "the 11th", r[10], codes.ResourceExhausted, "queue full", "10")
		expectRefusal(t, "the 12th", r[11], codes.ResourceExhausted, "queue full")
		if again := submitAll(t, api, specs[3])[0]; again.Id != r[3].Id || !again.Duplicate {
			t.Errorf("a key that is known needs no room: got %v", again)
		}
		for id, task := range g.Wait(ids...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED {
				t.Errorf("task %d: %v", id, task.State)
			}
		}
		if r := submitAll(t, api, specs[10:]...); r[0].Id != 11 || r[1].Id != 12 {
			t.Errorf("when there is room again: got %v", r)
		}
		g.Status()
	})
}

func TestAFullQueueIsFullInBytesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher(func(c *dispatcher.Config) { c.MaxLiveBytes = 100_000 })
		g.StartWorker("w", Builtin("hash", "wait"))
		g.AwaitWorker("w")
		big := &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 60_000)}
		r := submitAll(t, d.API(), big, big, &pb.TaskSpec{Type: "hash", Payload: "x"})
		expectRefusal(t, "the second", r[1], codes.ResourceExhausted, "queue full", "60000 bytes", "100000")
		if r[0].Id != 1 || r[2].Id != 2 {
			t.Errorf("those that fit: got %v", r)
		}
		g.Wait(1, 2)
	})
}

func TestAKeyStandsForOneTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse")
		spec := func(payload, key string, priority int32) *pb.TaskSpec {
			return &pb.TaskSpec{Type: "reverse", Payload: payload, IdempotencyKey: key, Priority: priority}
		}
		r := submitAll(t, d.API(), spec("ab", "k", 0), spec("ab", "k", 0), spec("ba", "k", 0), spec("ab", "k", 1), spec("ab", "", 0), spec("ab", "", 0))
		if r[0].Id != 1 || r[0].Duplicate || r[1].Id != 1 || !r[1].Duplicate {
			t.Errorf("the same twice: got %v and %v", r[0], r[1])
		}
		expectRefusal(t, "another payload", r[2], codes.AlreadyExists, `"k"`, "task 1")
		expectRefusal(t, "another priority", r[3], codes.AlreadyExists, `"k"`)
		if r[4].Id == r[5].Id {
			t.Errorf("without a key: got %v and %v", r[4], r[5])
		}
		ids := make([]uint64, 50)
		Together(50, func(i int) { ids[i] = g.SubmitSpec(spec("cd", "together", 0)) })
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("50 callers with one key: ids %v", ids)
			}
		}
	})
}

func TestManyClientsAtOnceGetDistinctIdsAndEveryStatusConserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		g.StartDispatcher()
		g.StartWorker("w", brief, capacity(20))
		g.AwaitWorker("w")
		stop, sampled := make(chan struct{}), make(chan int)
		go func() {
			samples := 0
			for {
				g.Status() // checks conservation
				samples++
				select {
				case <-stop:
					sampled <- samples
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		const clients, each = 20, 10
		ids := make([][]uint64, clients)
		Together(clients, func(i int) {
			c := g.NewClient(client.Config{})
			for j := range each {
				id, err := c.Submit(g.Context(), &pb.TaskSpec{Type: "brief", Payload: fmt.Sprintf("%d.%d", i, j)})
				if err != nil {
					t.Error(err)
				}
				ids[i] = append(ids[i], id)
			}
		})
		seen := map[uint64]bool{}
		for _, mine := range ids {
			for _, id := range mine {
				if seen[id] || id == 0 || id > clients*each {
					t.Errorf("id %d is given out twice or is none", id)
				}
				seen[id] = true
			}
			g.Wait(mine...)
		}
		close(stop)
		if n := <-sampled; n < 50 {
			t.Errorf("only %d samples were taken", n)
		}
		if n := g.Status().Tasks; n.Completed != clients*each {
			t.Errorf("%d completed, want %d", n.Completed, clients*each)
		}
	})
}

func TestTheLibraryTellsARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "reverse")
		_, err := g.Client().Submit(g.Context(), &pb.TaskSpec{Type: "juggle"})
		var refused *client.RefusedError
		if !errors.As(err, &refused) || refused.Code != codes.FailedPrecondition {
			t.Errorf("got %v, want FAILED_PRECONDITION", err)
		}
	})
}

func TestASubmissionMayWaitForTheEndsOfItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "wait")
		submit := func(wait time.Duration) (*pb.SubmitTasksResponse, time.Duration, error) {
			began := time.Now()
			resp, err := d.API().SubmitTasks(g.Context(), &pb.SubmitTasksRequest{Wait: durationpb.New(wait), Tasks: []*pb.TaskSpec{
				{Type: "reverse", Payload: "hello", IdempotencyKey: "a"}, {Type: "unheard-of"},
				{Type: "wait", Payload: "3", IdempotencyKey: "b"}}})
			return resp, time.Since(began), err
		}
		resp, took, err := submit(2 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if end := resp.Results[0].Task; end.GetResult() != "olleh" || end.GetPayload() != "hello" || len(end.GetHistory()) == 0 {
			t.Errorf("the task that ended: got %v, want it whole, with result olleh", end)
		}
		if resp.Results[1].Error == nil || resp.Results[1].Task != nil {
			t.Errorf("the task of an unknown type: got %v, want an error", resp.Results[1])
		}
		if r := resp.Results[2]; r.Id == 0 || r.Task != nil {
			t.Errorf("the task that takes longer: got %v, want its id alone", r)
		}
		if took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("the answer took %v, want the 2s that were asked for", took)
		}
		resp, took, err = submit(time.Minute)
		if err != nil || resp.Results[0].Task.GetResult() != "olleh" || resp.Results[2].Task.GetResult() != "waited 3s" || took > 2*time.Second {
			t.Errorf("the same again, with a minute: got %v after %v (%v), want all ends as soon as the last is there", resp, took, err)
		}
		for _, wait := range []time.Duration{-time.Second, time.Minute + 1} {
			if _, _, err := submit(wait); status.Code(err) != codes.InvalidArgument {
				t.Errorf("wait %v: got %v, want INVALID_ARGUMENT", wait, err)
			}
		}
	})
}
