package virtual

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher"
	"taskgrid/internal/bubble"
	pb "taskgrid/proto/taskgrid/v1"
)

// many returns n, or a fraction of it where the bounds are not to be reached in full.
func many(n int) int {
	if !bubble.Full() {
		return n / 20
	}
	return n
}

// TestAThousandTypesAreServed: 16 workers with 64 types each.
func TestAThousandTypesAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		d := g.StartDispatcher()
		var entries []*pb.Worker
		workers := max(2, many(16))
		for i := range workers {
			var types []string
			for j := range 64 {
				types = append(types, fmt.Sprintf("type-%d-%d", i, j))
			}
			p := g.StartPuppet(fmt.Sprint("w", i), types...)
			entries = append(entries, p.Entry)
			go func() {
				for line := p.Answer(); ; {
					select {
					case a := <-line.assigned:
						if line.TrySay(&pb.ProcessResponse{Outcomes: []*pb.Outcome{outcome(a.TaskId, a.Attempt, a.Type)}}) != nil {
							return
						}
					case <-line.stream.Context().Done():
						return
					}
				}
			}()
		}
		table.List(entries...)
		for _, e := range entries {
			g.AwaitWorker(e.WorkerId)
		}
		synctest.Wait()
		var specs []*pb.TaskSpec
		for _, e := range entries {
			for _, typ := range e.Types {
				specs = append(specs, &pb.TaskSpec{Type: typ})
			}
		}
		start := time.Now()
		var ids []uint64
		for i, r := range submitAll(t, d.API(), specs...) {
			if r.Error != nil {
				t.Fatalf("%s: %v", specs[i].Type, r.Error)
			}
			ids = append(ids, r.Id)
		}
		for id, task := range g.Wait(ids...) {
			if task.GetResult() != task.Type {
				t.Errorf("task %d of type %s: got %v", id, task.Type, task)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%d tasks of as many types took %v", len(ids), took)
		}
		if n := len(g.Status().Types); n != len(specs) {
			t.Errorf("the status has %d types, want %d", n, len(specs))
		}
	})
}

// TestFiveThousandRegistrationsASecondOfOneWorkerHarmNobody: each under a lease of its own, for two seconds.
func TestFiveThousandRegistrationsASecondOfOneWorkerHarmNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "reverse")
		ns := pb.NewNameServiceClient(g.Connect(NameServiceAddress))
		restless := g.StartPuppet("restless", "echo")
		before := runtime.NumGoroutine()
		n := many(10_000)
		start, last := time.Now(), ""
		for i := range n {
			resp, err := ns.RegisterWorker(g.Context(), &pb.RegisterWorkerRequest{WorkerId: "restless", Types: []string{"echo"}, Address: restless.Address, Capacity: 1})
			if err != nil {
				t.Fatalf("registration %d: %v", i, err)
			}
			last = resp.LeaseId
			if i%(n/20) == 0 {
				began := time.Now()
				if task := g.WaitOne(g.Submit("reverse", "hello")); task.GetResult() != "olleh" {
					t.Errorf("got %v", task)
				}
				if took := time.Since(began); took > 100*time.Millisecond {
					t.Errorf("a task of another worker took %v", took)
				}
			}
			time.Sleep(time.Second/5000 - time.Microsecond)
		}
		took := time.Since(start)
		restless.Greet(&pb.Hello{WorkerId: "restless", LeaseId: last})
		g.AwaitWorker("restless")
		status, err := ns.GetStatus(g.Context(), &pb.NameServiceGetStatusRequest{})
		if err != nil || len(status.Workers) != 2 {
			t.Errorf("the name service lists %d workers, %v; want 2", len(status.GetWorkers()), err)
		}
		if lines := len(g.Log.Lines("worker registered")); lines > 100*(int(took/time.Second)+3) {
			t.Errorf("%d registrations in %v left %d lines in the log, want at most 100 a second", n, took, lines)
		}
		synctest.Wait()
		if now := runtime.NumGoroutine(); now > before+100 {
			t.Errorf("%d goroutines, before it were %d", now, before)
		}
	})
}

// TestTenThousandWatchersOfWhichHalfDoNotReadDelayNobody: ten connections with a thousand watches of events each. The
// readers get every event, tasks are done as ever, one watch more is refused, and who did not read resumes where it was.
func TestTenThousandWatchersOfWhichHalfDoNotReadDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := many(10_000)
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher(func(c *dispatcher.Config) { c.MaxStreams = n })
		g.StartWorker("w1", Builtin("reverse"))
		g.AwaitWorker("w1")
		ctx, cancel := context.WithCancel(g.Context())
		defer cancel()
		const perConnection = 1000
		var api pb.DispatcherClient
		var deaf []pb.Dispatcher_WatchEventsClient
		heard := make(chan uint64, n)
		const tasks = 20
		for i := range n - 2 { // two are left for the client of the test
			if i%perConnection == 0 {
				api = d.API()
			}
			stream, err := api.WatchEvents(ctx, &pb.WatchEventsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				deaf = append(deaf, stream)
				continue
			}
			go func() {
				var last uint64
				for done := 0; done < tasks; {
					resp, err := stream.Recv()
					if err != nil {
						break
					}
					for _, e := range resp.Events {
						if e.Sequence != last+1 {
							t.Errorf("event %d after %d", e.Sequence, last)
						}
						last = e.Sequence
						if e.GetTask().GetTo() == pb.TaskState_TASK_STATE_COMPLETED {
							done++
						}
					}
				}
				heard <- last
			}()
		}
		synctest.Wait()
		for range tasks {
			began := time.Now()
			resp, err := api.SubmitTasks(ctx, &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "reverse", Payload: strings.Repeat("x", 1000)}}})
			if err != nil {
				t.Fatal(err)
			}
			g.WaitOne(resp.Results[0].Id)
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("a task took %v", took)
			}
		}
		for range n/2 - 1 {
			<-heard
		}
		synctest.Wait()
		var more []pb.Dispatcher_WatchEventsClient
		var refused error
		for len(more) < n && refused == nil { // there is room for two
			stream, err := api.WatchEvents(ctx, &pb.WatchEventsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				refused = err
			}
			more = append(more, stream)
		}
		if status.Code(refused) != codes.ResourceExhausted {
			t.Errorf("one watch too many: %v, want RESOURCE_EXHAUSTED", refused)
		}
		var last uint64
		for last < g.LastEvent() {
			resp, err := deaf[0].Recv()
			if err != nil {
				t.Fatalf("after event %d: %v", last, err)
			}
			last = resp.Events[len(resp.Events)-1].Sequence
		}
	})
}
