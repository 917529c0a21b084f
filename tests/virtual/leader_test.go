package virtual

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

// expectNotLeading checks that an error says that this replica does not lead.
func expectNotLeading(t *testing.T, call string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || discovery.Hint(err) == nil {
		t.Errorf("%s: got %v, want UNAVAILABLE with a LeaderHint", call, err)
	}
}

// callAll makes every call that a replica which does not lead is to refuse.
func callAll(t *testing.T, api pb.DispatcherClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := api.SubmitTasks(ctx, &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "reverse"}}})
	expectNotLeading(t, "SubmitTasks", err)
	_, err = api.GetTask(ctx, &pb.GetTaskRequest{Id: 1})
	expectNotLeading(t, "GetTask", err)
	_, err = api.GetTasks(ctx, &pb.GetTasksRequest{Ids: []uint64{1}})
	expectNotLeading(t, "GetTasks", err)
	_, err = api.ListTasks(ctx, &pb.ListTasksRequest{})
	expectNotLeading(t, "ListTasks", err)
	_, err = api.GetStatus(ctx, &pb.DispatcherGetStatusRequest{LeaderOnly: true})
	expectNotLeading(t, "GetStatus of the leader", err)
	_, err = api.CancelTasks(ctx, &pb.CancelTasksRequest{Ids: []uint64{1}})
	expectNotLeading(t, "CancelTasks", err)
	_, err = api.RetryTasks(ctx, &pb.RetryTasksRequest{Ids: []uint64{1}})
	expectNotLeading(t, "RetryTasks", err)
	wait, err := api.WaitTasks(ctx, &pb.WaitTasksRequest{Ids: []uint64{1}})
	expectNotLeading(t, "WaitTasks", last(wait, err))
	events, err := api.WatchEvents(ctx, &pb.WatchEventsRequest{})
	expectNotLeading(t, "WatchEvents", last(events, err))
	run, err := api.RunTasks(ctx)
	expectNotLeading(t, "RunTasks", last(run, err))
}

// last reads a stream to its end and returns how it ended.
func last[M any](stream interface{ Recv() (M, error) }, err error) error {
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

func TestAReplicaThatDoesNotLeadRefusesAllButStaleReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		for i, d := range c.replicas {
			if i == leader {
				continue
			}
			api := d.API()
			callAll(t, api)
			if _, err := api.GetStatus(t.Context(), &pb.DispatcherGetStatusRequest{}); err != nil {
				t.Errorf("GetStatus: %v", err)
			}
			if _, err := api.ListTasks(t.Context(), &pb.ListTasksRequest{Stale: true}); err != nil {
				t.Errorf("a stale ListTasks: %v", err)
			}
			if err := last(api.WatchEvents(t.Context(), &pb.WatchEventsRequest{Stale: true, NoFollow: true})); err.Error() != "EOF" {
				t.Errorf("a stale WatchEvents: %v", err)
			}
		}
	})
}

func TestWhenLeadershipIsLostEveryStreamThatWaitsEndsSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		c.StartWorker("w", Builtin("wait"))
		c.AwaitWorker("w")
		id := c.Submit("wait", "30")
		c.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		api := c.replicas[leader].API()
		ends := map[string]chan error{}
		hang := func(name string, stream interface{ recv() error }) {
			end := make(chan error, 1)
			ends[name] = end
			go func() {
				var err error
				for err == nil {
					err = stream.recv()
				}
				end <- err
			}()
		}
		wait, err := api.WaitTasks(t.Context(), &pb.WaitTasksRequest{Ids: []uint64{id}})
		if err != nil {
			t.Fatal(err)
		}
		hang("WaitTasks", recvFunc(func() error { _, err := wait.Recv(); return err }))
		events, err := api.WatchEvents(t.Context(), &pb.WatchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		hang("WatchEvents", recvFunc(func() error { _, err := events.Recv(); return err }))
		idle, err := api.RunTasks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		hang("an idle RunTasks", recvFunc(func() error { _, err := idle.Recv(); return err }))
		busy, err := api.RunTasks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := busy.Send(&pb.RunTasksRequest{Tasks: []*pb.RunTask{{Ref: 1, Spec: &pb.TaskSpec{Type: "wait", Payload: "30"}}}}); err != nil {
			t.Fatal(err)
		}
		hang("a busy RunTasks", recvFunc(func() error { _, err := busy.Recv(); return err }))
		time.Sleep(time.Second)

		c.cut(leader)
		for name, end := range ends {
			select {
			case err := <-end:
				expectNotLeading(t, name, err)
			case <-time.After(5 * time.Second):
				t.Errorf("%s goes on 5s after the leadership was lost", name)
			}
		}
		callAll(t, api)
		c.wires.Mend()
		c.leader(-1)
		if task := c.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
			t.Errorf("the task that ran meanwhile: got %v, want it adopted", task)
		}
		c.History()
	})
}

// recvFunc reads one message.
type recvFunc func() error

func (f recvFunc) recv() error { return f() }

func TestHealthTellsTheLeaderFromItsFollowersAndFromAReplicaThatIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		check := func(i int, works, leads healthpb.HealthCheckResponse_ServingStatus) {
			t.Helper()
			for service, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{"": works, "taskgrid.v1.Dispatcher": leads} {
				resp, err := healthpb.NewHealthClient(c.Grid.Connect(c.replicas[i].Address)).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
				if err != nil || resp.Status != want {
					t.Errorf("%s: health of service %q is %v, %v; want %v", c.ids[i], service, resp.GetStatus(), err, want)
				}
			}
		}
		const yes, no = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
		time.Sleep(100 * time.Millisecond)
		check(leader, yes, yes)
		check((leader+1)%3, yes, no)
		check((leader+2)%3, yes, no)
		c.cut(leader)
		next := c.leader(leader)
		time.Sleep(100 * time.Millisecond)
		check(next, yes, yes)
		check(leader, no, no)
	})
}

func TestAKilledLeaderIsSucceededAndNothingIsLostOrRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t)
		leader := c.leader(-1)
		c.StartWorker("w", Builtin("wait"))
		c.AwaitWorker("w")
		var ids []uint64
		for range 20 {
			ids = append(ids, c.Submit("wait", "5"))
		}
		for _, id := range ids { // what was not known to a majority yet is handed over again
			c.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
		}
		c.kill(leader)
		for id, task := range c.Wait(ids...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 || task.Redeliveries != 0 {
				t.Errorf("task %d: %v after %d attempts and %d redeliveries", id, task.State, task.Attempts, task.Redeliveries)
			}
		}
		if id := c.Submit("wait", "0"); id != ids[len(ids)-1]+1 {
			t.Errorf("the next id is %d, want %d", id, ids[len(ids)-1]+1)
		}
		c.History()
	})
}
