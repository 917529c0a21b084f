package nameservice_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// inFlight is how many calls each benchmark keeps open on its one connection.
const inFlight = 64

// BenchmarkHealthCheck is the yardstick: a call on the same connection that does nothing.
func BenchmarkHealthCheck(b *testing.B) {
	g := newLoopback(b)
	health := healthpb.NewHealthClient(g.conn)
	g.inParallel(b, func(ctx context.Context, _ int) error {
		_, err := health.Check(ctx, &healthpb.HealthCheckRequest{})
		return err
	})
}

func BenchmarkHeartbeat(b *testing.B) {
	const workers = 5000
	g := newLoopback(b)
	requests := make([]*pb.HeartbeatRequest, workers)
	for i := range requests {
		req := registration(fmt.Sprintf("worker-%d", i), "hash")
		res, err := g.client.RegisterWorker(b.Context(), req)
		if err != nil {
			b.Fatalf("register: %v", err)
		}
		requests[i] = &pb.HeartbeatRequest{WorkerId: req.WorkerId, LeaseId: res.LeaseId, Running: 3, Load: 0.5}
	}
	g.inParallel(b, func(ctx context.Context, i int) error {
		_, err := g.client.Heartbeat(ctx, requests[i%workers])
		return err
	})
}

func BenchmarkLookupTenWorkers(b *testing.B) {
	g := newLoopback(b)
	for i := range 100 {
		req := registration(fmt.Sprintf("worker-%d", i), fmt.Sprintf("type-%d", i%10))
		if _, err := g.client.RegisterWorker(b.Context(), req); err != nil {
			b.Fatalf("register: %v", err)
		}
	}
	g.inParallel(b, func(ctx context.Context, _ int) error {
		res, err := g.client.LookupWorkers(ctx, &pb.LookupWorkersRequest{Type: "type-7", AllStates: true})
		if err == nil && len(res.Workers) != 10 {
			err = fmt.Errorf("got %d workers, want 10", len(res.Workers))
		}
		return err
	})
}

// newLoopback starts a name service on a loopback port, as the command does, and ends it with the benchmark.
func newLoopback(b *testing.B) *grid {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatalf("listen: %v", err)
	}
	return startGrid(b, nameservice.Options{}, lis, &grid{target: lis.Addr().String()})
}

// inParallel makes b.N calls, inFlight of them at a time.
func (g *grid) inParallel(b *testing.B, call func(ctx context.Context, i int) error) {
	b.ReportAllocs()
	b.SetParallelism(inFlight / 2) // times GOMAXPROCS, 2 on the machines that the figures are from
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			if err := call(b.Context(), i); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkChangeToThousandWatchers measures how long it takes until a thousand watchers know of a change.
func BenchmarkChangeToThousandWatchers(b *testing.B) {
	const watchers = 1000
	g := newLoopback(b)
	arrived := make(chan string, watchers) // the version of the worker that a watcher was told of
	var all sync.WaitGroup
	for range watchers {
		w := g.watch(b, &pb.WatchWorkersRequest{})
		w.recv(b)
		all.Go(func() {
			for w.take() == nil {
				for _, worker := range w.last.Workers {
					arrived <- worker.Version
				}
			}
		})
	}
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		begin := time.Now()
		req := registration("worker", "hash")
		req.Version = fmt.Sprint(i)
		if _, err := g.client.RegisterWorker(b.Context(), req); err != nil {
			b.Fatalf("register: %v", err)
		}
		for n := 0; n < watchers; {
			if <-arrived == req.Version {
				took = append(took, time.Since(begin))
				n++
			}
		}
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	g.conn.Close()
	all.Wait()
}
