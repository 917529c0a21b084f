package dispatcher

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// FuzzTaskSpec: whatever a caller asks for is refused with a field and a rule, or keeps the bounds of the contract.
func FuzzTaskSpec(f *testing.F) {
	for _, spec := range []*pb.TaskSpec{
		{}, {Type: "hash", Payload: "€"}, {Type: "Hash"}, {Type: "a", IdempotencyKey: strings.Repeat("k", 129)},
		{Type: "a", Priority: 9, MaxAttempts: 100, AttemptTimeout: durationpb.New(time.Hour), QueueTimeout: durationpb.New(-1)},
		{Type: "a", AttemptTimeout: &durationpb.Duration{Seconds: 1 << 62, Nanos: -5}},
		{Type: "a", Labels: map[string]string{"": "", "k": strings.Repeat("v", 256)}},
	} {
		data, err := proto.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	cfg := DefaultConfig()
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &pb.TaskSpec{}
		if proto.Unmarshal(data, p) != nil {
			return
		}
		spec := specOf(p, "call")
		var field *core.FieldError
		if err := spec.Complete(cfg.defaults()); err != nil {
			if !errors.As(err, &field) || field.Field == "" || field.Rule == "" || !utf8.ValidString(err.Error()) {
				t.Errorf("%v: %v does not name field and rule in valid UTF-8", p, err)
			}
			return
		}
		if !core.ValidType(spec.Type) || len(spec.Payload) > cfg.MaxPayload || spec.Priority < 0 || spec.Priority >= core.Priorities ||
			spec.MaxAttempts < 1 || spec.AttemptTimeout < core.MinTimeout || len(spec.Labels) > core.MaxLabels {
			t.Errorf("accepted: %+v", spec)
		}
	})
}

// FuzzListTasks: a filter is refused in words, or within its bounds and safe to match with.
func FuzzListTasks(f *testing.F) {
	for _, req := range []*pb.ListTasksRequest{
		{}, {States: []pb.TaskState{pb.TaskState_TASK_STATE_FAILED, 99}}, {Type: "hash", Text: "x", PageSize: 7, Ascending: true},
		{PageToken: formatToken(12, false)}, {Text: strings.Repeat("x", 257)}, {PageSize: 1 << 31},
	} {
		data, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	task := &core.Task{ID: 12, Spec: &core.Spec{Type: "hash", Payload: "x"}, State: core.Failed}
	f.Fuzz(func(t *testing.T, data []byte) {
		req := &pb.ListTasksRequest{}
		if proto.Unmarshal(data, req) != nil {
			return
		}
		filter, err := filterOf(req)
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("%v: the error %q is not valid UTF-8", req, err)
			}
			return
		}
		if filter.size < 1 || filter.size > maxPage || len(filter.text) > maxText {
			t.Errorf("%v: accepted as %+v", req, filter)
		}
		filter.matches(task)
	})
}
