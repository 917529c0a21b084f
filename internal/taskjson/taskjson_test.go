package taskjson_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

var update = flag.Bool("update", false, "write the golden files")

func at(ms int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(ms)) }

// completed is a task with everything that a task may have.
func completed() *pb.Task {
	return &pb.Task{
		Id: 7, Type: "reverse", Payload: "<hello>", Result: proto.String(">olleh<"), State: pb.TaskState_TASK_STATE_COMPLETED,
		Attempts: 2, Redeliveries: 1, MaxAttempts: 4, WorkerId: "reverse-1", RequestId: "R1", IdempotencyKey: "K1", Priority: 3,
		Labels: map[string]string{"course": "grids", "by": "alice"}, CreatedTime: at(1000), DispatchedTime: at(1002), CompletedTime: at(1005),
		Duration: durationpb.New(2_500_400 * time.Nanosecond), AttemptTimeout: durationpb.New(time.Minute),
		QueueTimeout: durationpb.New(time.Hour), RetryOf: 3, HistoryDropped: 5,
		History: []*pb.Transition{
			{Time: at(1000), To: pb.TaskState_TASK_STATE_CREATED},
			{Time: at(1005), From: pb.TaskState_TASK_STATE_PROCESSING, To: pb.TaskState_TASK_STATE_COMPLETED, Attempt: 2, WorkerId: "reverse-1", Reason: "done"},
		},
	}
}

func TestTheJSONFormOfATask(t *testing.T) {
	queued := &pb.Task{Id: 8, Type: "sum", State: pb.TaskState_TASK_STATE_QUEUED, MaxAttempts: 4, RequestId: "R2", CreatedTime: at(1000),
		AttemptTimeout: durationpb.New(time.Minute), History: []*pb.Transition{{Time: at(1000), To: pb.TaskState_TASK_STATE_CREATED}}}
	failed := proto.CloneOf(queued)
	failed.State, failed.Error, failed.Result, failed.CompletedTime = pb.TaskState_TASK_STATE_FAILED, "empty: there is no number to add", nil, at(1009)
	retrying := proto.CloneOf(queued)
	retrying.State, retrying.Error, retrying.Progress, retrying.RetryTime = pb.TaskState_TASK_STATE_RETRYING, "worker lost", 0.25, at(2000)
	basic := completed()
	basic.Payload, basic.History = "", nil
	empty := proto.CloneOf(queued)
	empty.State, empty.Result, empty.Duration = pb.TaskState_TASK_STATE_COMPLETED, proto.String(""), durationpb.New(0)
	for name, task := range map[string]*pb.Task{"completed": completed(), "queued": queued, "failed": failed, "retrying": retrying, "basic": basic, "empty_result": empty} {
		golden(t, name, taskjson.FromTask(task))
	}
}

func TestTheJSONFormOfAnEvent(t *testing.T) {
	golden(t, "event_task", taskjson.FromEvent(&pb.Event{Sequence: 9, Time: at(1000), What: &pb.Event_Task{Task: &pb.TaskEvent{
		Id: 7, Type: "sum", From: pb.TaskState_TASK_STATE_QUEUED, To: pb.TaskState_TASK_STATE_DISPATCHED, Attempt: 1, WorkerId: "sum-1", Reason: "least loaded"}}}))
	golden(t, "event_worker", taskjson.FromEvent(&pb.Event{Sequence: 10, Time: at(1001), What: &pb.Event_Worker{Worker: &pb.WorkerEvent{
		WorkerId: "sum-1", Aspect: "breaker", From: "closed", To: "open", Reason: "3 failures"}}}))
}

// golden compares the JSON of value with the golden file of that name.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestEveryStateHasANameThatReadsBack(t *testing.T) {
	terminal := 0
	for number := range pb.TaskState_name {
		state := pb.TaskState(number)
		if state == pb.TaskState_TASK_STATE_UNSPECIFIED {
			continue
		}
		if got, ok := taskjson.ParseState(taskjson.State(state)); !ok || got != state {
			t.Errorf("ParseState(%q) = %v, %v; want %v", taskjson.State(state), got, ok, state)
		}
		if taskjson.Terminal(state) {
			terminal++
		}
	}
	if terminal != 3 {
		t.Errorf("%d states are terminal, want 3", terminal)
	}
	for _, name := range []string{"", "unspecified", "done"} {
		if got, ok := taskjson.ParseState(name); ok {
			t.Errorf("ParseState(%q) = %v, want none", name, got)
		}
	}
}
