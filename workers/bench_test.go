package workers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// BenchmarkProcess is the way of a short task through one stream over TCP, client included: assignments go out in
// batches while at most inFlight are unanswered, as a dispatcher does it, and each outcome is acknowledged.
func BenchmarkProcess(b *testing.B) {
	for _, inFlight := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) { benchmarkProcess(b, inFlight) })
	}
}

func benchmarkProcess(b *testing.B, inFlight int) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	handlers, capacity, err := Select([]string{"reverse"})
	if err != nil {
		b.Fatal(err)
	}
	worker := New(Config{
		ID: "bench", Handlers: handlers, Capacity: capacity, Window: 256,
		Listener: lis, Advertise: "bench:1", MaxResult: 64 << 10, DrainGrace: time.Second,
		Log: slog.New(slog.NewTextHandler(discard{}, nil)), Metrics: prometheus.NewRegistry(),
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	defer func() { <-done }()
	defer stop()
	conn, err := rpc.Dial("passthrough:///"+lis.Addr().String(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	stream, err := pb.NewWorkerServiceClient(conn).Process(context.Background(), grpc.WaitForReady(true))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var id uint64
	next := &pb.ProcessRequest{}
	fill := func(n int) {
		for range n {
			if id == uint64(b.N) {
				return
			}
			id++
			next.Assignments = append(next.Assignments, &pb.Assignment{
				TaskId: id, Attempt: 1 << 32, Type: "reverse", Payload: "abcdefghijklmnopqrstuvwxyz012345",
				Timeout: durationpb.New(time.Minute), RequestId: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
			})
		}
	}
	fill(inFlight)
	for answered := 0; answered < b.N; {
		if err := stream.Send(next); err != nil {
			b.Fatal(err)
		}
		next = &pb.ProcessRequest{}
		for len(next.Acks) == 0 && answered < b.N {
			m, err := stream.Recv()
			if err != nil {
				b.Fatal(err)
			}
			if len(m.Refused) > 0 {
				b.Fatalf("refused: %v", m.Refused[0])
			}
			for _, o := range m.Outcomes {
				next.Acks = append(next.Acks, &pb.OutcomeAck{TaskId: o.TaskId, Attempt: o.Attempt})
			}
			answered += len(m.Outcomes)
			fill(len(m.Outcomes))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// discard takes log lines and makes nothing of them; unlike slog.DiscardHandler they are written out.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
