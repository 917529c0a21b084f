package monitoring

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// BenchmarkEvent is what one event costs a flow and a reader, from the bytes of the dispatcher to the text that is
// written: of a reader who takes all, and of one who filters and takes one of a hundred.
func BenchmarkEvent(b *testing.B) {
	for _, bench := range []struct{ name, typ string }{{"every", ""}, {"one of 100", "rare"}} {
		b.Run(bench.name, func(b *testing.B) {
			const batch = 100
			resp := &pb.WatchEventsResponse{}
			for i := range batch {
				typ := "hash"
				if i == 0 {
					typ = "rare"
				}
				resp.Events = append(resp.Events, &pb.Event{Time: timestamppb.Now(), What: &pb.Event_Task{Task: &pb.TaskEvent{
					Id: uint64(i), Type: typ, From: pb.TaskState_TASK_STATE_QUEUED, To: pb.TaskState_TASK_STATE_DISPATCHED,
					Attempt: 1, WorkerId: "hash-0f3a9c", Reason: "handed over"}}})
			}
			wire, err := proto.Marshal(resp)
			if err != nil {
				b.Fatal(err)
			}
			flow := &flow{ring: newRing(ringEvents, 0), changed: make(chan struct{})}
			reader := &feed{typ: bench.typ, out: make(chan portion, 1)}
			b.ReportAllocs()
			for seq := uint64(0); seq < uint64(b.N); {
				resp := &pb.WatchEventsResponse{}
				if err := proto.Unmarshal(wire, resp); err != nil {
					b.Fatal(err)
				}
				for _, e := range resp.Events {
					seq++
					e.Sequence = seq
				}
				if err := flow.take(news{events: resp.Events}); err != nil {
					b.Fatal(err)
				}
				if err := reader.send(context.Background(), flow.look(reader.last).frames); err != nil {
					b.Fatal(err)
				}
				<-reader.out
			}
		})
	}
}
