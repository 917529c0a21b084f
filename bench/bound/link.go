package bound

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// name is what the dispatcher calls itself, and its cluster.
const name = "bound"

// maxWindow is how many tasks beyond its capacity a worker is given at most, as by the real dispatcher.
const maxWindow = 1024

// link is a connected worker. One goroutine sends what it gets, another receives what it answers.
type link struct {
	worker *pb.Worker
	out    *outbox[pb.ProcessRequest]

	mu      sync.Mutex
	limit   int // 0: the worker is gone
	waiting []*task
	flying  map[uint64]*task
}

// find dials each worker that the name service tells of, until ctx ends.
func (d *dispatcher) find(ctx context.Context, nameservice string) error {
	conn, err := rpc.Dial("passthrough:///"+nameservice, name)
	if err != nil {
		return err
	}
	defer conn.Close()
	group, linking := errgroup.WithContext(ctx)
	group.Go(func() error {
		stream, err := pb.NewNameServiceClient(conn).WatchWorkers(linking, &pb.WatchWorkersRequest{}, grpc.WaitForReady(true))
		for dialled := map[string]bool{}; err == nil; {
			var news *pb.WatchWorkersResponse
			news, err = stream.Recv()
			for _, w := range news.GetWorkers() {
				if !dialled[w.WorkerId] {
					dialled[w.WorkerId] = true
					group.Go(func() error { return d.link(linking, w) })
				}
			}
		}
		return fmt.Errorf("watch workers: %w", err)
	})
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// link serves a worker until its stream ends.
func (d *dispatcher) link(ctx context.Context, w *pb.Worker) error {
	conn, err := rpc.Dial("passthrough:///"+w.Address, name)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := pb.NewWorkerServiceClient(conn).Process(rpc.WithLeader(ctx, name, 1), grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.WorkerId, err)
	}
	hello, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.WorkerId, err)
	}
	l := &link{worker: w, out: newOutbox[pb.ProcessRequest](), flying: map[uint64]*task{},
		limit: int(w.Capacity + min(hello.Hello.GetWindow(), maxWindow))}
	for _, typ := range w.Types {
		d.links.Store(typ, l)
	}
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { _ = l.out.run(stream.Context(), over, stream.Send) }) // Recv says why it broke
	for err == nil {
		var m *pb.ProcessResponse
		if m, err = stream.Recv(); err == nil && len(m.Outcomes) > 0 {
			d.ended(l, m)
		}
	}
	close(over)
	sending.Wait()
	l.leave()
	return nil // the worker has gone, and what waited for it has failed
}

// give hands tasks over, those for which there is no place yet later. It returns false when the worker is gone.
func (l *link) give(tasks []*task) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, tasks...)
	if l.limit == 0 {
		l.waiting = nil
		return false
	}
	l.fill()
	return true
}

// fill sends what there is a place for. The caller holds mu.
func (l *link) fill() {
	n := min(len(l.waiting), l.limit-len(l.flying))
	if n <= 0 {
		return
	}
	now, timeout := time.Now(), durationpb.New(time.Minute)
	l.out.put(true, func(m *pb.ProcessRequest) {
		for _, t := range l.waiting[:n] {
			t.dispatched = now
			l.flying[t.id] = t
			m.Assignments = append(m.Assignments, &pb.Assignment{TaskId: t.id, Attempt: 1, Type: t.spec.Type, Payload: t.spec.Payload,
				Timeout: timeout, RequestId: t.request})
		}
	})
	l.waiting = l.waiting[n:]
}

// ended logs outcomes, and tells them and acknowledges them when they are on disk.
func (d *dispatcher) ended(l *link, m *pb.ProcessResponse) {
	tasks := make([]*task, len(m.Outcomes)) // nil: one that it was not given
	l.mu.Lock()
	for i, o := range m.Outcomes {
		tasks[i] = l.flying[o.TaskId]
		delete(l.flying, o.TaskId)
	}
	l.fill()
	l.mu.Unlock()
	d.log.add(encode(m.Outcomes), func() {
		l.out.put(false, func(next *pb.ProcessRequest) {
			for _, o := range m.Outcomes {
				next.Acks = append(next.Acks, &pb.OutcomeAck{TaskId: o.TaskId, Attempt: o.Attempt})
			}
		})
		for i, o := range m.Outcomes {
			if t := tasks[i]; t != nil {
				t.ended(t.answer(l.worker.WorkerId, o))
			}
		}
	})
}

// leave fails what the worker had and what waited for it.
func (l *link) leave() {
	l.mu.Lock()
	tasks := l.waiting
	for _, t := range l.flying {
		tasks = append(tasks, t)
	}
	l.limit, l.waiting = 0, nil
	clear(l.flying)
	l.mu.Unlock()
	fail(tasks, "the worker is gone")
}
