package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// runStream is a RunTasks stream, and what came on it.
type runStream struct {
	t *testing.T
	pb.Dispatcher_RunTasksClient
	acks     map[uint64]*pb.SubmitResult // by ref
	finished map[uint64][]*pb.Task       // by id
}

func openRun(t *testing.T, ctx context.Context, api pb.DispatcherClient) *runStream {
	t.Helper()
	stream, err := api.RunTasks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &runStream{t: t, Dispatcher_RunTasksClient: stream, acks: map[uint64]*pb.SubmitResult{}, finished: map[uint64][]*pb.Task{}}
}

// submit sends tasks, which get the refs from first on.
func (r *runStream) submit(first uint64, specs ...*pb.TaskSpec) {
	r.t.Helper()
	req := &pb.RunTasksRequest{}
	for i, spec := range specs {
		req.Tasks = append(req.Tasks, &pb.RunTask{Ref: first + uint64(i), Spec: spec})
	}
	if err := r.Send(req); err != nil {
		r.t.Fatalf("send: %v", err)
	}
}

// read takes one message in; each finished task must have been acknowledged before.
func (r *runStream) read() error {
	resp, err := r.Recv()
	if err != nil {
		return err
	}
	for _, a := range resp.Acks {
		if r.acks[a.Ref] != nil {
			r.t.Errorf("ref %d is acknowledged twice", a.Ref)
		}
		r.acks[a.Ref] = a.Result
	}
	for _, task := range resp.Finished {
		r.finished[task.Id] = append(r.finished[task.Id], task)
		acked := false
		for _, result := range r.acks {
			acked = acked || result.Id == task.Id
		}
		if !acked {
			r.t.Errorf("task %d is finished before it is acknowledged", task.Id)
		}
	}
	return nil
}

// rest reads to the end, and returns how that came; nil for an orderly end.
func (r *runStream) rest() error {
	for {
		if err := r.read(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestARunStreamEndsWhenTheLastTaskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "wait")
		r := openRun(t, t.Context(), d.API())
		r.submit(1, &pb.TaskSpec{Type: "reverse", Payload: "ab"}, &pb.TaskSpec{Type: "juggle"}, &pb.TaskSpec{Type: "wait", Payload: "5"}, nil)
		r.CloseSend()
		start := time.Now()
		if err := r.rest(); err != nil {
			t.Fatalf("the stream ended with %v", err)
		}
		if took := time.Since(start); took < 5*time.Second {
			t.Errorf("the stream ended after %v, before its last task", took)
		}
		expectRefusal(t, "juggle", r.acks[2], codes.FailedPrecondition, "reverse, wait")
		expectRefusal(t, "nothing", r.acks[4], codes.InvalidArgument, "type")
		for _, ref := range []uint64{1, 3} {
			id := r.acks[ref].GetId()
			if told := r.finished[id]; len(told) != 1 || told[0].State != pb.TaskState_TASK_STATE_COMPLETED {
				t.Errorf("ref %d, task %d: told %v, want it once and COMPLETED", ref, id, told)
			}
		}
		g.Status()
	})
}

func TestAnEmptyRunStreamEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := Start(t, "reverse")
		r := openRun(t, t.Context(), d.API())
		r.CloseSend()
		if err := r.rest(); err != nil {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func TestTheSameKeyTwiceInOneRunStreamIsOneTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := Start(t, "reverse", "wait")
		r := openRun(t, t.Context(), d.API())
		spec := &pb.TaskSpec{Type: "wait", Payload: "1", IdempotencyKey: "k"}
		r.submit(1, spec, spec)
		r.submit(3, spec)
		r.CloseSend()
		if err := r.rest(); err != nil {
			t.Fatalf("the stream ended with %v", err)
		}
		if r.acks[1].Id != 1 || r.acks[2].Id != 1 || r.acks[3].Id != 1 || r.acks[1].Duplicate || !r.acks[2].Duplicate {
			t.Errorf("acknowledged %v", r.acks)
		}
		if len(r.finished) != 1 || len(r.finished[1]) != 1 {
			t.Errorf("told %v, want task 1 once", r.finished)
		}
	})
}

func TestAKeyOfAFinishedTaskIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse")
		spec := &pb.TaskSpec{Type: "reverse", Payload: "ab", IdempotencyKey: "k"}
		g.WaitOne(g.SubmitSpec(spec))
		r := openRun(t, t.Context(), d.API())
		r.submit(7, spec)
		r.CloseSend()
		if err := r.rest(); err != nil || !r.acks[7].GetDuplicate() || len(r.finished[1]) != 1 {
			t.Errorf("got %v, %v, %v", err, r.acks, r.finished)
		}
	})
}

func TestAClientThatSubmitsAndNeverReadsIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher()
		w := g.StartWorker("w", Builtin("reverse"))
		g.AwaitWorker("w")
		w.Stop() // nothing finishes
		const bound = 16_384
		ctx, cancel := context.WithCancel(t.Context())
		r := openRun(t, ctx, d.API())
		sent := make(chan int)
		go func() {
			n := 0
			defer func() { sent <- n }()
			batch := &pb.RunTasksRequest{}
			for range 1024 {
				batch.Tasks = append(batch.Tasks, &pb.RunTask{Ref: 1, Spec: &pb.TaskSpec{Type: "reverse", Payload: "0123456789"}})
			}
			for r.Send(batch) == nil {
				n += len(batch.Tasks)
				if n > 100*bound {
					return
				}
			}
		}()
		time.Sleep(time.Minute)
		if n := g.Status().Tasks.Submitted; n != bound {
			t.Errorf("%d tasks were taken from a client that does not read, want the bound of %d", n, bound)
		}
		other := openRun(t, t.Context(), d.API()) // is held up by nobody
		other.submit(1, &pb.TaskSpec{Type: "reverse"})
		if err := other.read(); err != nil || other.acks[1].GetId() != bound+1 {
			t.Errorf("another stream: %v, %v", other.acks, err)
		}
		cancel()
		<-sent
	})
}

func TestACutRunStreamLeavesItsTasksAndNoErrorInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "wait")
		ctx, cancel := context.WithCancel(t.Context())
		r := openRun(t, ctx, d.API())
		r.submit(1, &pb.TaskSpec{Type: "wait", Payload: "5", IdempotencyKey: "k"})
		for len(r.acks) == 0 {
			if err := r.read(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if task := g.WaitOne(r.acks[1].Id); task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("got %v", task)
		}
		if lines := g.Log.Lines("level=ERROR"); len(lines) != 0 {
			t.Errorf("a client that goes away is no error of ours: %v", lines)
		}
	})
}

func TestTheLibraryRunsAllThroughARestart(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New(t)
				g.StartNameService()
				d := g.StartDispatcher()
				g.StartWorker("w", brief, func(c *workers.Config) { c.Capacity = 20 })
				g.AwaitWorker("w")
				const n = 300
				specs := func(yield func(*pb.TaskSpec) bool) {
					for i := range n {
						if !yield(&pb.TaskSpec{Type: "brief", Payload: fmt.Sprint(i)}) {
							return
						}
					}
				}
				done := make(chan map[string]int)
				go func() {
					ended := map[string]int{}
					for f, err := range g.Client().RunAll(g.Context(), 50, iter.Seq[*pb.TaskSpec](specs)) {
						if err != nil {
							t.Error(err)
							break
						}
						if f.Task.GetResult() != f.Spec.Payload {
							t.Errorf("task %v ended %v", f.Spec, f.Task)
						}
						ended[f.Spec.Payload]++
					}
					done <- ended
				}()
				time.Sleep(time.Second)
				end(d)
				time.Sleep(time.Second)
				d.Restart()
				ended := <-done
				if len(ended) != n {
					t.Errorf("%d of %d tasks ended", len(ended), n)
				}
				for payload, times := range ended {
					if times != 1 {
						t.Errorf("task %s ended %d times", payload, times)
					}
				}
				if status := g.Status(); status.Tasks.Submitted != n {
					t.Errorf("%d tasks were made of %d submissions", status.Tasks.Submitted, n)
				}
				g.History()
			})
		})
	}
}
