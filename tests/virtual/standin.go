package virtual

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// NameTable is a stand-in for the name service: it lists the workers that the test tells it to, and nobody else. Workers
// may register with it as often as they like.
type NameTable struct {
	*Process
	pb.UnimplementedNameServiceServer

	mu        sync.Mutex
	version   uint64
	settled   bool
	workers   map[string]*pb.Worker
	instances map[string]*pb.ServiceInstance
	changed   chan struct{} // closed at the next change
}

// StartNameTable starts a stand-in for the name service at its address. It is settled and empty.
func (g *Grid) StartNameTable() *NameTable {
	n := &NameTable{settled: true, workers: map[string]*pb.Worker{}, instances: map[string]*pb.ServiceInstance{}, changed: make(chan struct{})}
	server, _ := rpc.NewServer()
	pb.RegisterNameServiceServer(server, n)
	host := g.Network.Attach(NameServiceAddress)
	n.Process = g.run(host, func(ctx context.Context, _ *Process) error {
		return process.ServeGRPC(ctx, server, host.Listener(), grace)
	})
	return n
}

// List makes the table consist of these workers. Whose state is not said is ACTIVE.
func (n *NameTable) List(workers ...*pb.Worker) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.workers)
	for _, w := range workers {
		w.State = cmp.Or(w.State, pb.WorkerState_WORKER_STATE_ACTIVE)
		n.workers[w.WorkerId] = w
	}
	n.version++
	close(n.changed)
	n.changed = make(chan struct{})
}

// WatchWorkers implements the contract; every change is told as a whole snapshot.
func (n *NameTable) WatchWorkers(_ *pb.WatchWorkersRequest, stream grpc.ServerStreamingServer[pb.WatchWorkersResponse]) error {
	for {
		n.mu.Lock()
		resp, changed := &pb.WatchWorkersResponse{Epoch: "table", Version: n.version, Snapshot: true, Settled: n.settled}, n.changed
		for _, id := range slices.Sorted(maps.Keys(n.workers)) {
			resp.Workers = append(resp.Workers, n.workers[id])
		}
		n.mu.Unlock()
		if err := stream.Send(resp); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// RegisterWorker implements the contract, and enters nobody.
func (n *NameTable) RegisterWorker(_ context.Context, req *pb.RegisterWorkerRequest) (*pb.RegisterWorkerResponse, error) {
	return &pb.RegisterWorkerResponse{LeaseId: req.LeaseId, HeartbeatInterval: durationpb.New(time.Second), Ttl: durationpb.New(10 * time.Second)}, nil
}

// Heartbeat implements the contract.
func (n *NameTable) Heartbeat(context.Context, *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	return &pb.HeartbeatResponse{State: pb.WorkerState_WORKER_STATE_ACTIVE}, nil
}

// SetDraining implements the contract, and marks nobody.
func (n *NameTable) SetDraining(context.Context, *pb.SetDrainingRequest) (*pb.SetDrainingResponse, error) {
	return &pb.SetDrainingResponse{}, nil
}

// DeregisterWorker implements the contract.
func (n *NameTable) DeregisterWorker(context.Context, *pb.DeregisterWorkerRequest) (*pb.DeregisterWorkerResponse, error) {
	return &pb.DeregisterWorkerResponse{}, nil
}

// AnnounceService implements the contract.
func (n *NameTable) AnnounceService(_ context.Context, req *pb.AnnounceServiceRequest) (*pb.AnnounceServiceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instances[req.InstanceId] = &pb.ServiceInstance{InstanceId: req.InstanceId, Address: req.Address, Term: req.Term}
	return &pb.AnnounceServiceResponse{}, nil
}

// LookupService implements the contract.
func (n *NameTable) LookupService(context.Context, *pb.LookupServiceRequest) (*pb.LookupServiceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	resp := &pb.LookupServiceResponse{Instances: slices.Collect(maps.Values(n.instances))}
	slices.SortFunc(resp.Instances, func(a, b *pb.ServiceInstance) int { return cmp.Compare(b.Term, a.Term) })
	return resp, nil
}

// Puppet is a stand-in for a worker: it says on its streams what the test tells it to.
type Puppet struct {
	*Process
	Entry *pb.Worker // for a NameTable

	grid  *Grid
	lines chan *Line

	mu    sync.Mutex
	hello *pb.Hello // of the next streams
}

// StartPuppet starts a stand-in worker of a capacity of 10, on an odd port.
func (g *Grid) StartPuppet(id string, types ...string) *Puppet {
	host := g.Network.Attach(g.address(12345))
	p := &Puppet{grid: g, lines: make(chan *Line, 1000), hello: &pb.Hello{WorkerId: id, LeaseId: "lease-of-" + id},
		Entry: &pb.Worker{WorkerId: id, LeaseId: "lease-of-" + id, Types: types, Address: host.Address, Capacity: 10}}
	server, _ := rpc.NewServer()
	pb.RegisterWorkerServiceServer(server, stage{puppet: p})
	p.Process = g.run(host, func(ctx context.Context, _ *Process) error {
		return process.ServeGRPC(ctx, server, host.Listener(), grace)
	})
	return p
}

// silence is a Hello that is not said.
var silence = &pb.Hello{}

// Greet makes the next streams begin with another Hello.
func (p *Puppet) Greet(h *pb.Hello) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hello = h
}

// stage is the gRPC face of a puppet.
type stage struct {
	pb.UnimplementedWorkerServiceServer
	puppet *Puppet
}

// Process implements the contract.
func (s stage) Process(stream pb.WorkerService_ProcessServer) error {
	p := s.puppet
	p.mu.Lock()
	hello := p.hello
	p.mu.Unlock()
	l := &Line{puppet: p, stream: stream, hungUp: make(chan struct{}),
		assigned: make(chan *pb.Assignment, 10_000), cancelled: make(chan *pb.Cancel, 10_000), acked: make(chan *pb.OutcomeAck, 10_000)}
	if hello != silence {
		if err := stream.Send(&pb.ProcessResponse{Hello: hello}); err != nil {
			return err
		}
	}
	p.lines <- l
	var reading sync.WaitGroup
	reading.Go(l.read)
	select {
	case <-l.hungUp: // Recv returns when this function has
		return nil
	case <-stream.Context().Done():
		reading.Wait()
		return stream.Context().Err()
	}
}

// Answer waits for the dispatcher to open a stream, and returns it.
func (p *Puppet) Answer() *Line {
	p.grid.t.Helper()
	return receive(p.grid, "a stream to "+p.Entry.WorkerId, p.lines)
}

// Line is one Process stream of a puppet.
type Line struct {
	puppet    *Puppet
	stream    pb.WorkerService_ProcessServer
	assigned  chan *pb.Assignment
	cancelled chan *pb.Cancel
	acked     chan *pb.OutcomeAck

	mu     sync.Mutex
	once   sync.Once
	hungUp chan struct{}
}

func (l *Line) read() {
	for {
		req, err := l.stream.Recv()
		if err != nil {
			return
		}
		for _, a := range req.Assignments {
			l.assigned <- a
		}
		for _, c := range req.Cancels {
			l.cancelled <- c
		}
		for _, a := range req.Acks {
			l.acked <- a
		}
	}
}

// HangUp ends the stream.
func (l *Line) HangUp() { l.once.Do(func() { close(l.hungUp) }) }

// Say sends a message.
func (l *Line) Say(m *pb.ProcessResponse) {
	l.puppet.grid.t.Helper()
	if err := l.TrySay(m); err != nil {
		l.puppet.grid.t.Errorf("puppet %s: %v", l.puppet.Entry.WorkerId, err)
	}
}

// TrySay sends a message, unless the dispatcher has hung up.
func (l *Line) TrySay(m *pb.ProcessResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream.Send(m)
}

// Assigned waits for the next assignment.
func (l *Line) Assigned() *pb.Assignment {
	l.puppet.grid.t.Helper()
	return receive(l.puppet.grid, "an assignment for "+l.puppet.Entry.WorkerId, l.assigned)
}

// Cancelled waits for the next cancel.
func (l *Line) Cancelled() *pb.Cancel {
	l.puppet.grid.t.Helper()
	return receive(l.puppet.grid, "a cancel for "+l.puppet.Entry.WorkerId, l.cancelled)
}

// Acked waits for the next acknowledgement.
func (l *Line) Acked() *pb.OutcomeAck {
	l.puppet.grid.t.Helper()
	return receive(l.puppet.grid, "an acknowledgement for "+l.puppet.Entry.WorkerId, l.acked)
}

// Idle tells whether no assignment is waiting to be taken.
func (l *Line) Idle() bool { return len(l.assigned) == 0 }

// Ended tells whether the dispatcher has given the stream up.
func (l *Line) Ended() bool { return l.stream.Context().Err() != nil }

// Start says that the handler of an assignment began.
func (l *Line) Start(a *pb.Assignment) {
	l.puppet.grid.t.Helper()
	l.Say(&pb.ProcessResponse{Started: []*pb.Started{{TaskId: a.TaskId, Attempt: a.Attempt}}})
}

// Result says what the handler of an assignment returned.
func (l *Line) Result(a *pb.Assignment, result string) {
	l.puppet.grid.t.Helper()
	l.Outcomes(&pb.Outcome{TaskId: a.TaskId, Attempt: a.Attempt, Result: result, Elapsed: durationpb.New(time.Millisecond)})
}

// Fail says that the handler of an assignment failed.
func (l *Line) Fail(a *pb.Assignment, kind pb.ErrorKind, message string) {
	l.puppet.grid.t.Helper()
	l.Outcomes(&pb.Outcome{TaskId: a.TaskId, Attempt: a.Attempt, Error: &pb.OutcomeError{Kind: kind, Message: message}})
}

// Outcomes says outcomes, all in one message.
func (l *Line) Outcomes(outcomes ...*pb.Outcome) {
	l.puppet.grid.t.Helper()
	l.Say(&pb.ProcessResponse{Outcomes: outcomes})
}

// Refuse hands an assignment back.
func (l *Line) Refuse(a *pb.Assignment, reason string) {
	l.puppet.grid.t.Helper()
	l.Say(&pb.ProcessResponse{Refused: []*pb.Refused{{TaskId: a.TaskId, Attempt: a.Attempt, Reason: reason}}})
}

// receive takes from a channel, and fails the test when nothing comes within patience.
func receive[T any](g *Grid, what string, from <-chan T) (got T) {
	g.t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		g.t.Fatalf("waited %v for %s", patience, what)
	}
	return got
}
