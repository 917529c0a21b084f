package dispatcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

func TestATaskOnAStreamSaysWhatTaskOfSays(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String())
	instant := rapid.Custom(func(t *rapid.T) core.Instant {
		return core.Instant(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1<<50, 1<<50)).Draw(t, "instant"))
	})
	lasts := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, int64(1000*time.Hour))).Draw(t, "duration"))
	})
	labels := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) core.Label {
		return core.Label{Key: text.Draw(t, "key"), Value: text.Draw(t, "value")}
	}), 0, 4, func(l core.Label) string { return l.Key })
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *core.Task {
			return &core.Task{
				Spec: &core.Spec{
					Type: text.Draw(t, "type"), Payload: text.Draw(t, "payload"), Key: text.Draw(t, "key"), RequestID: text.Draw(t, "request"),
					Labels: labels.Draw(t, "labels"), AttemptTimeout: lasts.Draw(t, "attempt timeout"), QueueTimeout: lasts.Draw(t, "queue timeout"),
					RetryOf: rapid.Uint64().Draw(t, "retry of"), MaxAttempts: rapid.Uint32().Draw(t, "most"), Priority: rapid.Int32().Draw(t, "priority"),
				},
				ID: rapid.Uint64().Draw(t, "id"), WorkerID: text.Draw(t, "worker"), LeaseID: text.Draw(t, "lease"),
				Result: text.Draw(t, "result"), Error: text.Draw(t, "error"), State: core.State(rapid.IntRange(1, int(core.Cancelled)).Draw(t, "state")),
				Created: instant.Draw(t, "created"), DispatchedAt: instant.Draw(t, "dispatched"), Ended: instant.Draw(t, "ended"), RetryAt: instant.Draw(t, "retry at"),
				Duration: lasts.Draw(t, "took"), Attempts: rapid.Uint16().Draw(t, "attempts"), Redeliveries: rapid.Uint16().Draw(t, "redeliveries"),
			}
		}), 1, 3).Draw(t, "tasks")
		want := new(pb.RunTasksResponse)
		var frame, room []byte
		for _, task := range tasks {
			want.Finished = append(want.Finished, taskOf(task, pb.TaskView_TASK_VIEW_BASIC, 0))
			frame, room = appendTask(frame, finishedField, task, room)
		}
		got := new(pb.RunTasksResponse)
		if err := proto.Unmarshal(frame, got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Errorf("on the stream and by taskOf (-taskOf +stream):\n%s", d)
		}
	})
}
