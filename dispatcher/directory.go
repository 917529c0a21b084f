package dispatcher

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher/core"
	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// resolveInterval is how often the names of the name services are looked up again.
	resolveInterval = 5 * time.Second

	// lookupInterval is how often a name service is asked that cannot be watched; watchPause how long to wait before a
	// broken watch is begun again.
	lookupInterval = time.Second
	watchPause     = 200 * time.Millisecond
)

// watchNameServices keeps the view of the workers: one watch for each name service.
func (d *Dispatcher) watchNameServices(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	watching := map[string]context.CancelFunc{}
	for {
		addresses := discovery.Resolve(ctx, strings.Split(d.cfg.NameServices, ","), d.cfg.Resolve)
		for _, address := range addresses {
			if watching[address] == nil {
				watchCtx, stop := context.WithCancel(ctx)
				watching[address] = stop
				group.Go(func() { d.watchNameService(watchCtx, address) })
			}
		}
		for address, stop := range watching {
			if !slices.Contains(addresses, address) {
				stop()
				delete(watching, address)
				d.updateView(func(v *core.View) { v.Drop(address) })
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range watching {
				stop()
			}
			return nil
		case <-time.After(resolveInterval):
		}
	}
}

// watchNameService follows one name service until ctx ends. While it is away, what it said stays in use.
func (d *Dispatcher) watchNameService(ctx context.Context, address string) {
	log := d.log.With("nameservice", address)
	conn, err := d.cfg.Dial(rpc.NameService, address)
	if err != nil {
		log.Error("name service has an address that cannot be dialled", "error", err)
		return
	}
	defer conn.Close()
	ns := pb.NewNameServiceClient(conn)
	away := false
	for ctx.Err() == nil {
		err := d.watch(ctx, ns, address, func() {
			if away {
				log.Info("name service is back")
			}
			away = false
		})
		pause := watchPause
		if status.Code(err) == codes.Unimplemented {
			err = d.lookup(ctx, ns, address)
			pause = lookupInterval
		}
		if err != nil && !away && ctx.Err() == nil {
			log.Warn("name service is away; what it said stays in use until another says more", "error", err)
			away = true
			d.updateView(func(v *core.View) { v.Away(address) })
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// watch takes snapshot and changes until the watch breaks. heard is called with each answer.
func (d *Dispatcher) watch(ctx context.Context, ns pb.NameServiceClient, address string, heard func()) error {
	stream, err := ns.WatchWorkers(ctx, &pb.WatchWorkersRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		heard()
		d.updateView(func(v *core.View) {
			v.Update(address, resp.GetSnapshot(), resp.GetSettled(), workersOf(resp.GetWorkers()), resp.GetRemoved())
		})
	}
}

// lookup asks once, where watching is not to be had.
func (d *Dispatcher) lookup(ctx context.Context, ns pb.NameServiceClient, address string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupInterval)
	defer cancel()
	resp, err := ns.LookupWorkers(ctx, &pb.LookupWorkersRequest{AllStates: true})
	if err != nil {
		return err
	}
	d.updateView(func(v *core.View) { v.Update(address, true, resp.GetSettled(), workersOf(resp.GetWorkers()), nil) })
	return nil
}

func (d *Dispatcher) updateView(do func(*core.View)) {
	d.mu.Lock()
	do(d.view)
	d.mu.Unlock()
	signal(d.changed)
}

func workersOf(list []*pb.Worker) []core.WorkerInfo {
	workers := make([]core.WorkerInfo, 0, len(list))
	for _, w := range list {
		workers = append(workers, workerOf(w))
	}
	return workers
}
