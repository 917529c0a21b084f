package virtual

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

func TestTheLargestSubmissionIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := Start(t, "hash")
		specs := make([]*pb.TaskSpec, 10_000)
		for i := range specs { // together just below the 16 MiB of a message
			specs[i] = &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 1660)}
		}
		for i, r := range submitAll(t, d.API(), specs...) {
			if r.Id != uint64(i+1) {
				t.Fatalf("task %d of 10,000: got %v", i, r)
			}
		}
	})
}

// TestThousandsOfFailedTasksWithLongErrorsFitTheAnswers: with labels as many and long as may be, 2,500 tasks that failed
// twice take some 20 MiB, and a message holds 16. Each call tells what fits and how to get the rest.
func TestThousandsOfFailedTasksWithLongErrorsFitTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher()
		g.StartWorker("w", map[string]workers.Handler{"moody": func(context.Context, string) (string, error) {
			return "", errors.New(strings.Repeat("no luck ", 200))
		}}, func(c *workers.Config) { c.Capacity = 1000 })
		g.AwaitWorker("w")
		labels := map[string]string{}
		for i := range 16 {
			labels[fmt.Sprintf("%063d", i)] = strings.Repeat("x", 255)
		}
		specs := make([]*pb.TaskSpec, 2500)
		for i := range specs {
			specs[i] = &pb.TaskSpec{Type: "moody", MaxAttempts: 2, Labels: labels}
		}
		resp, err := d.API().SubmitTasks(g.Context(), &pb.SubmitTasksRequest{Tasks: specs, Wait: durationpb.New(time.Minute)})
		if err != nil || len(resp.Results) != len(specs) {
			t.Fatalf("submit and wait: %d results, %v", len(resp.GetResults()), err)
		}
		whole, size := 0, proto.Size(resp)
		var ids []uint64
		for _, r := range resp.Results {
			ids = append(ids, r.Id)
			if task := r.Task; task != nil {
				whole++
				if task.State != pb.TaskState_TASK_STATE_FAILED || len(task.Error) < 1000 || len(task.History) < 8 {
					t.Fatalf("got %v", task)
				}
			}
		}
		if size < rpc.MaxMessage*3/4 {
			t.Errorf("the answer has %d of %d tasks in %d bytes, and there is room for more", whole, len(specs), size)
		}
		t.Logf("%d of %d tasks in %d bytes", whole, len(specs), size)

		stream, err := d.API().WaitTasks(g.Context(), &pb.WaitTasksRequest{Ids: ids, View: pb.TaskView_TASK_VIEW_FULL})
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for told < len(ids) {
			resp, err := stream.Recv()
			if err != nil {
				t.Fatalf("wait, after %d tasks: %v", told, err)
			}
			if told += len(resp.Tasks); proto.Size(resp) > 2<<20 {
				t.Errorf("a message of WaitTasks has %d bytes, want about 1 MiB", proto.Size(resp))
			}
		}
		listed := 0
		for token := ""; listed == 0 || token != ""; {
			resp, err := d.API().ListTasks(g.Context(), &pb.ListTasksRequest{PageSize: 1000, PageToken: token, View: pb.TaskView_TASK_VIEW_FULL})
			if err != nil {
				t.Fatalf("list, after %d tasks: %v", listed, err)
			}
			listed, token = listed+len(resp.Tasks), resp.NextPageToken
		}
		if listed != len(ids) {
			t.Errorf("listed %d of %d tasks", listed, len(ids))
		}
	})
}
