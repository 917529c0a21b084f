package monitoring

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	dispatcherAddress = "10.0.0.1:50052"
	nsAddress         = "10.0.0.2:50051"
	ns2Address        = "10.0.0.3:50051"
	testInterval      = time.Second
)

// network connects processes by address, in memory. Who does not listen refuses the connection.
type network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	lis := n.listeners[address]
	n.mu.Unlock()
	if lis == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return lis.DialContext(ctx)
}

// serve starts a server at address. The function that it returns ends it as kill -9 would.
func (n *network) serve(t *testing.T, address string, register func(grpc.ServiceRegistrar)) (kill func()) {
	server, _ := rpc.NewServer()
	register(server)
	lis := bufconn.Listen(64 << 10)
	n.mu.Lock()
	n.listeners[address] = lis
	n.mu.Unlock()
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(lis) })
	kill = sync.OnceFunc(func() {
		n.mu.Lock()
		if n.listeners[address] == lis {
			delete(n.listeners, address)
		}
		n.mu.Unlock()
		server.Stop()
		served.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// fakeDispatcher has tasks and events, and answers as the contract says. It outlives its servers, as a journal would.
type fakeDispatcher struct {
	pb.UnimplementedDispatcherServer

	mu         sync.Mutex
	hung       bool // answers nothing, until the caller gives up
	asked      int  // calls of GetStatus
	status     *pb.DispatcherGetStatusResponse
	tasks      []*pb.Task
	events     []*pb.Event   // from number first on
	first      uint64        // 1 when nothing is forgotten
	changed    chan struct{} // closed and replaced when events come
	listed     *pb.ListTasksRequest
	requestIDs []string
	watching   int // streams of events that are open now
	watched    int // and that there ever were
}

func newFakeDispatcher() *fakeDispatcher {
	return &fakeDispatcher{first: 1, changed: make(chan struct{}), status: &pb.DispatcherGetStatusResponse{
		Raft: &pb.RaftStatus{Id: "d1", State: "leader", Leader: "d1", Term: 3, Peers: []string{"d1"}}}}
}

func (d *fakeDispatcher) register(s grpc.ServiceRegistrar) { pb.RegisterDispatcherServer(s, d) }

// set changes what the dispatcher says.
func (d *fakeDispatcher) set(change func(*fakeDispatcher)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
	close(d.changed)
	d.changed = make(chan struct{})
}

// happen appends n events, each a step of the task that has its number.
func (d *fakeDispatcher) happen(n int) {
	d.set(func(d *fakeDispatcher) {
		for range n {
			seq := d.first + uint64(len(d.events))
			typ := "hash"
			if seq%2 == 0 {
				typ = "sum"
			}
			d.events = append(d.events, &pb.Event{Sequence: seq, Time: timestamppb.Now(), What: &pb.Event_Task{Task: &pb.TaskEvent{
				Id: seq, Type: typ, From: pb.TaskState_TASK_STATE_CREATED, To: pb.TaskState_TASK_STATE_QUEUED}}})
		}
	})
}

// forget drops the events before number first.
func (d *fakeDispatcher) forget(first uint64) {
	d.set(func(d *fakeDispatcher) {
		d.events = d.events[first-d.first:]
		d.first = first
	})
}

func (d *fakeDispatcher) GetStatus(ctx context.Context, _ *pb.DispatcherGetStatusRequest) (*pb.DispatcherGetStatusResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.hung {
		d.mu.Unlock()
		<-ctx.Done()
		d.mu.Lock()
		return nil, ctx.Err()
	}
	s := d.status
	return &pb.DispatcherGetStatusResponse{
		Version: s.Version, Uptime: s.Uptime, Raft: s.Raft, Tasks: s.Tasks, Types: s.Types, Workers: s.Workers, Oddities: s.Oddities,
		FirstEvent: d.first, LastEvent: d.first + uint64(len(d.events)) - 1,
	}, nil
}

func (d *fakeDispatcher) GetTask(ctx context.Context, req *pb.GetTaskRequest) (*pb.GetTaskResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	d.requestIDs = append(d.requestIDs, md.Get("request_id")...)
	for _, t := range d.tasks {
		if t.Id == req.Id {
			return &pb.GetTaskResponse{Task: t}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "task %d: no such task", req.Id)
}

func (d *fakeDispatcher) ListTasks(_ context.Context, req *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listed = req
	if req.PageToken == "forged" {
		return nil, status.Error(codes.InvalidArgument, `page_token: "forged": must be one of ours`)
	}
	n := min(int(req.PageSize), len(d.tasks))
	resp := &pb.ListTasksResponse{Tasks: d.tasks[:n]}
	if n < len(d.tasks) {
		resp.NextPageToken = fmt.Sprint(n)
	}
	return resp, nil
}

func (d *fakeDispatcher) WatchEvents(req *pb.WatchEventsRequest, stream pb.Dispatcher_WatchEventsServer) error {
	d.mu.Lock()
	d.watching++
	d.watched++
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.watching--
		d.mu.Unlock()
	}()
	last := req.Since
	for {
		d.mu.Lock()
		first, changed := d.first, d.changed
		var next []*pb.Event
		newest := d.first + uint64(len(d.events)) - 1
		if last+1 >= first && last < newest {
			next = d.events[last+1-first:]
			next = next[:min(100, len(next))]
		}
		d.mu.Unlock()
		if last > newest {
			return status.Errorf(codes.OutOfRange, "since %d: the newest event has number %d", last, newest)
		}
		if last+1 < first {
			return status.Errorf(codes.OutOfRange, "since %d: the oldest event has number %d", last, first)
		}
		if len(next) == 0 && req.NoFollow {
			return nil
		}
		if len(next) == 0 {
			select {
			case <-stream.Context().Done():
				return stream.Context().Err()
			case <-changed:
			}
			continue
		}
		last = next[len(next)-1].Sequence
		resp := &pb.WatchEventsResponse{}
		for _, e := range next {
			if req.Type == "" || e.GetTask().GetType() == req.Type {
				resp.Events = append(resp.Events, e)
			}
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// fakeNameService has workers.
type fakeNameService struct {
	pb.UnimplementedNameServiceServer

	mu      sync.Mutex
	hung    bool
	asked   int // calls of GetStatus
	epoch   string
	workers []*pb.Worker
}

func (n *fakeNameService) register(s grpc.ServiceRegistrar) { pb.RegisterNameServiceServer(s, n) }

func (n *fakeNameService) GetStatus(ctx context.Context, _ *pb.NameServiceGetStatusRequest) (*pb.NameServiceGetStatusResponse, error) {
	n.mu.Lock()
	n.asked++
	hung, resp := n.hung, &pb.NameServiceGetStatusResponse{Epoch: n.epoch, Workers: n.workers, Settled: true}
	n.mu.Unlock()
	if hung {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return resp, nil
}

func (n *fakeNameService) set(change func(*fakeNameService)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// grid is monitoring with a dispatcher and a name service around it. It lives in a synctest bubble.
type grid struct {
	t          *testing.T
	network    *network
	dispatcher *fakeDispatcher
	names      *fakeNameService
	kill       func() // the dispatcher
	killNames  func()
	collector  *Collector
	rest       *REST
	metrics    *Metrics
	server     *Server
	http       *http.Client
	stop       func() // ends monitoring as SIGTERM would, and waits
}

// newGrid starts a grid whose name services are at the addresses of the list. Only nsAddress has one.
func newGrid(t *testing.T, nameServices string) *grid {
	g := &grid{t: t, network: &network{listeners: map[string]*bufconn.Listener{}}, dispatcher: newFakeDispatcher(), names: &fakeNameService{epoch: "a"}}
	g.startDispatcher()
	g.killNames = g.network.serve(t, nsAddress, g.names.register)

	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dialer := grpc.WithContextDialer(g.network.dial)
	names, err := discovery.Open(nameServices, "monitoring", dialer)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial("passthrough:///"+dispatcherAddress, "monitoring", dialer)
	if err != nil {
		t.Fatal(err)
	}
	client := pb.NewDispatcherClient(conn)
	g.collector = NewCollector(client, names, testInterval, log)
	registry := process.NewMetrics()
	g.metrics = NewMetrics(registry, g.collector)
	g.rest = NewREST(g.collector, client, g.metrics, log)
	g.server = NewServer(g.collector)

	ctx, cancel := context.WithCancel(context.Background())
	lis := bufconn.Listen(4 << 10) // about what a socket of a reader who does not read would take, but quicker to fill
	var running sync.WaitGroup
	running.Go(func() { _ = g.collector.Run(ctx) })
	running.Go(func() {
		if err := process.ServeHTTP(ctx, g.rest.Handler(), lis, time.Second); err != nil {
			t.Errorf("serve HTTP: %v", err)
		}
	})
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.DialContext(ctx) },
	}
	g.http = &http.Client{Transport: transport}
	g.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(func() {
		g.stop()
		transport.CloseIdleConnections()
		conn.Close()
		names.Close()
	})
	synctest.Wait()
	return g
}

func (g *grid) startDispatcher() {
	g.kill = g.network.serve(g.t, dispatcherAddress, g.dispatcher.register)
}

// collect lets the time for two collections pass.
func (g *grid) collect() {
	time.Sleep(2 * testInterval)
	synctest.Wait()
}

// bubble runs test in virtual time.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func worker(id, state string, types ...string) *pb.Worker {
	return &pb.Worker{
		WorkerId: id, Types: types, Address: "10.1.0.1:50060", Capacity: 4, LeaseId: "lease-of-" + id,
		State: pb.WorkerState(pb.WorkerState_value["WORKER_STATE_"+state]), LastHeartbeat: timestamppb.Now(), RegisteredTime: timestamppb.Now(),
	}
}
