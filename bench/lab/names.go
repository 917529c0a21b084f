package lab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/internal/ports"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// names is a name service alone.
type names struct {
	*Grid
	conn   *grpc.ClientConn
	client pb.NameServiceClient
}

// startNames starts a name service and registers so many workers of ten types, which nobody dials.
func (l *Lab) startNames(ctx context.Context, workers int) (n *names, leases []*pb.HeartbeatRequest, err error) {
	at, err := ports.Free(1)
	if err != nil {
		return nil, nil, err
	}
	n = &names{Grid: &Grid{lab: l, nameservice: at[0], processes: map[string]*process{}, profiles: map[string]string{}}}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	if err := n.startProcess("nameservice", "nameservice", "--listen", n.nameservice); err != nil {
		return nil, nil, err
	}
	if n.conn, err = rpc.Dial(n.nameservice, "bench"); err != nil {
		return nil, nil, err
	}
	n.client = pb.NewNameServiceClient(n.conn)
	for i := range workers {
		req := registration(i)
		res, err := n.client.RegisterWorker(ctx, req, grpc.WaitForReady(true))
		if err != nil {
			return nil, nil, fmt.Errorf("register: %w", err)
		}
		leases = append(leases, &pb.HeartbeatRequest{WorkerId: req.WorkerId, LeaseId: res.LeaseId, Running: 3, Load: 0.5})
	}
	return n, leases, nil
}

func (n *names) stop() {
	if n.conn != nil {
		n.conn.Close()
	}
	n.Grid.stop()
}

func registration(i int) *pb.RegisterWorkerRequest {
	return &pb.RegisterWorkerRequest{
		WorkerId: fmt.Sprintf("worker-%d", i), Types: []string{fmt.Sprintf("type-%d", i%10)},
		Address: fmt.Sprintf("10.0.%d.%d:50060", i/250%250, i%250+1), Capacity: 2, Version: "v1",
	}
}

func (l *Lab) heartbeat(ctx context.Context) (bench.Figures, error) {
	n, leases, err := l.startNames(ctx, 100)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	var turn atomic.Uint64
	return l.measure(ctx, n.Grid, drive.Calls(drive.InFlight, func(ctx context.Context) error {
		_, err := n.client.Heartbeat(ctx, leases[turn.Add(1)%uint64(len(leases))])
		return err
	}))
}

func (l *Lab) lookup(ctx context.Context) (bench.Figures, error) {
	n, leases, err := l.startNames(ctx, 100)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	beating, stop := context.WithCancel(ctx)
	defer stop()
	go keepAlive(beating, n.client, leases) // for long measurements; ends with stop
	return l.measure(ctx, n.Grid, drive.Calls(drive.InFlight, func(ctx context.Context) error {
		for begin := time.Now(); ; {
			res, err := n.client.LookupWorkers(ctx, &pb.LookupWorkersRequest{Type: "type-7"})
			if err != nil || len(res.Workers) == 10 {
				return err
			}
			if time.Since(begin) > begun { // heartbeats that were late have come by then
				return fmt.Errorf("%d workers, want 10", len(res.Workers))
			}
		}
	}))
}

// keepAlive sends a heartbeat for each lease every second until ctx ends.
func keepAlive(ctx context.Context, client pb.NameServiceClient, leases []*pb.HeartbeatRequest) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, lease := range leases {
			if _, err := client.Heartbeat(ctx, lease); err != nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fiveThousand has 5,000 workers send a heartbeat each second, spread over it, each over its own connection.
func (l *Lab) fiveThousand(ctx context.Context) (bench.Figures, error) {
	const workers = 5000
	n, _, err := l.startNames(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var beats, lost atomic.Int64
	var registered, running sync.WaitGroup
	errs := make(chan error, workers)
	registered.Add(workers)
	for i := range workers {
		running.Go(func() { errs <- beat(ctx, n.nameservice, i, workers, &registered, &beats, &lost) })
	}
	defer running.Wait()
	defer stop()
	registered.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
	}
	settle := time.NewTimer(2 * time.Second) // until each has sent its first
	defer settle.Stop()
	<-settle.C
	m := n.meter()
	began, before := time.Now(), beats.Load()
	m.edge(false)
	timer := time.NewTimer(max(l.cfg.Duration, 3*time.Second)) // some whole seconds, whatever the other phases take
	defer timer.Stop()
	<-timer.C
	m.edge(true)
	took := time.Since(began).Seconds()
	if lost.Load() > 0 {
		return nil, fmt.Errorf("%d heartbeats were refused", lost.Load())
	}
	rate := float64(beats.Load()-before) / took
	figures := bench.Figures{"heartbeats_per_s": rate}
	m.add(figures, rate*took)
	// This process, which plays all the workers, may be too slow to send all heartbeats: the figure is for all of them.
	figures["cores.nameservice"] = m.used["nameservice"].CPU.Seconds() / took * workers / rate
	return figures, nil
}

// beat is one worker of many: it registers and then sends a heartbeat each second, at its own place in the second.
func beat(ctx context.Context, nameservice string, i, of int, registered *sync.WaitGroup, beats, lost *atomic.Int64) error {
	conn, err := rpc.Dial(nameservice, "bench")
	if err != nil {
		registered.Done()
		return err
	}
	defer conn.Close()
	client := pb.NewNameServiceClient(conn)
	req := registration(i)
	res, err := client.RegisterWorker(ctx, req, grpc.WaitForReady(true))
	for tries := 0; status.Code(err) == codes.Unavailable && tries < 20 && ctx.Err() == nil; tries++ {
		// So many connections at once are more than a busy machine accepts in time; the next try waits for another.
		res, err = client.RegisterWorker(ctx, req, grpc.WaitForReady(true))
	}
	registered.Done()
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	place := time.NewTimer(time.Duration(i) * time.Second / time.Duration(of))
	defer place.Stop()
	select {
	case <-place.C:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, err := client.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: req.WorkerId, LeaseId: res.LeaseId, Running: 3, Load: 0.5})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			lost.Add(1)
		default:
			beats.Add(1)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
