package dispatcher

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	pb "taskgrid/proto/taskgrid/v1"
)

// TestATaskTakesNoMoreThanItsRoom fills every field, the numbers with their longest values.
func TestATaskTakesNoMoreThanItsRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string, most int) string {
			return strings.Repeat("é", rapid.IntRange(0, most/2).Draw(t, name))
		}
		at := timestamppb.New(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))
		long := durationpb.New(math.MaxInt64)
		result := text("result", 64<<10)
		task := &pb.Task{
			Id: math.MaxUint64, Type: text("type", 32), Payload: text("payload", 64<<10), Result: &result, Error: text("error", 1024), State: math.MaxInt32,
			Attempts: math.MaxUint32, Redeliveries: math.MaxUint32, MaxAttempts: math.MaxUint32, WorkerId: text("worker", 64), RequestId: text("request", 128),
			IdempotencyKey: text("key", 128), Priority: math.MinInt32, CreatedTime: at, DispatchedTime: at, CompletedTime: at, Duration: long,
			AttemptTimeout: long, QueueTimeout: long, Progress: 0.3, RetryOf: math.MaxUint64, RetryTime: at, HistoryDropped: math.MaxUint32,
		}
		for i := range rapid.IntRange(0, 16).Draw(t, "labels") {
			if task.Labels == nil {
				task.Labels = map[string]string{}
			}
			task.Labels[fmt.Sprint(i, text("label", 60))] = text("value", 250)
		}
		for range rapid.IntRange(0, 9).Draw(t, "steps") {
			task.History = append(task.History, &pb.Transition{Time: at, From: math.MaxInt32, To: math.MaxInt32, Attempt: math.MaxUint32,
				WorkerId: text("at", 64), Reason: text("reason", 1024)})
		}
		size, room := proto.Size(&pb.WaitTasksResponse{Tasks: []*pb.Task{task}}), roomFor(task)
		if size > room || room > size+512+9*64 {
			t.Errorf("a task of %d bytes in a message: room for %d", size, room)
		}
	})
}
