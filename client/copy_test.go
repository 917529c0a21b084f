package client

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestACopyOfATaskHasAllOfItsFields(t *testing.T) {
	spec := &pb.TaskSpec{Type: "sum", Payload: "1,2", IdempotencyKey: "k", Priority: 3, MaxAttempts: 4,
		AttemptTimeout: durationpb.New(time.Second), QueueTimeout: durationpb.New(time.Minute), Labels: map[string]string{"a": "b"}}
	fields := spec.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); !spec.ProtoReflect().Has(field) {
			t.Errorf("this test does not set %s: a field that copyWithKey does not know?", field.Name())
		}
	}
	if c := copyWithKey(spec, "k"); !proto.Equal(c, spec) {
		t.Errorf("the copy: got %v, want %v", c, spec)
	}
	spec.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		other := proto.CloneOf(spec)
		other.ProtoReflect().Clear(field)
		if proto.Equal(copyWithKey(other, other.IdempotencyKey), spec) {
			t.Errorf("a copy without %s equals one with it", field.Name())
		}
		return true
	})
}
