package lab

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// watchers measures the way of a change to each of 1,000 watchers, which share 20 connections: every 50 ms a worker
// registers with another version, and each watcher says when it hears of it.
func (l *Lab) watchers(ctx context.Context) (bench.Figures, error) {
	const watchers, connections = 1000, 20
	n, _, err := l.startNames(ctx, 10)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	ctx, stop := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer stop()

	var sent sync.Map // by version, when the change was asked for
	r := &drive.Recorder{}
	errs := make(chan error, watchers)
	var conn *grpc.ClientConn
	for i := range watchers {
		if i%(watchers/connections) == 0 {
			if conn, err = rpc.Dial(n.nameservice, "bench"); err != nil {
				return nil, err
			}
			defer conn.Close()
		}
		stream, err := pb.NewNameServiceClient(conn).WatchWorkers(ctx, &pb.WatchWorkersRequest{}, grpc.WaitForReady(true))
		if err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
		if _, err := stream.Recv(); err != nil { // what is there already
			return nil, fmt.Errorf("watch: %w", err)
		}
		lane := r.Lane()
		listening.Go(func() { errs <- listen(ctx, stream, &sent, lane) })
	}
	m := n.meter()
	change := func(ctx context.Context, _ *drive.Recorder) error {
		req := registration(0)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; !r.Over(); i++ {
			req.Version = fmt.Sprint("change-", i)
			sent.Store(req.Version, time.Now())
			if _, err := n.client.RegisterWorker(ctx, req); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case err := <-errs:
				return fmt.Errorf("a watch ended: %w", err)
			}
		}
		return nil
	}
	window := l.window(m.edge)
	window.For = max(window.For, 2*time.Second)
	figures, err := r.Measure(ctx, window, change)
	if err != nil {
		return nil, err
	}
	m.add(figures, figures[bench.Rate]*window.For.Seconds())
	figures["told_per_s"], figures["p99_ms"] = figures[bench.Rate], figures[bench.P99]/1000
	delete(figures, bench.Rate) // a ratio of it to the raw echo says nothing
	return figures, nil
}

// listen reports each change that a watcher hears of.
func listen(ctx context.Context, stream grpc.ServerStreamingClient[pb.WatchWorkersResponse], sent *sync.Map, lane *drive.Lane) error {
	for {
		update, err := stream.Recv()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for _, worker := range update.Workers {
			if at, ok := sent.Load(worker.Version); ok {
				lane.Done(at.(time.Time))
			}
		}
	}
}
