package taskjson

import (
	"encoding/json"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// FuzzTask: every task has a JSON form, and reading it gives the same again.
func FuzzTask(f *testing.F) {
	for _, task := range []*pb.Task{
		{}, {Id: 1 << 63, Type: "hash", Payload: "<a href='\u2028'>", State: pb.TaskState_TASK_STATE_COMPLETED, Result: proto.String("")},
		{Error: "\x00\x1f", Labels: map[string]string{"k": "€"}, History: []*pb.Transition{{To: 99}}},
	} {
		data, err := proto.Marshal(task)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		task := &pb.Task{}
		if proto.Unmarshal(data, task) != nil || math.IsNaN(float64(task.Progress)) || math.IsInf(float64(task.Progress), 0) {
			return // the dispatcher takes no such share from a worker
		}
		form, err := json.Marshal(FromTask(task))
		if err != nil {
			t.Fatalf("%v: %v", task, err)
		}
		var back Task
		if err := json.Unmarshal(form, &back); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(form) {
			t.Errorf("%s became %s, %v", form, again, err)
		}
	})
}
