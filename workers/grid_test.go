package workers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

// Everything here runs in a synctest bubble: time is virtual, and connections are pipes in memory.

const leaseSeconds = 10

// fakeNames is a name service that keeps registrations, and says what it was asked, in order.
type fakeNames struct {
	pb.UnimplementedNameServiceServer

	mu      sync.Mutex
	workers map[string]*pb.RegisterWorkerRequest // by worker id
	drained map[string]bool                      // by worker id
	calls   []string                             // the calls but heartbeats
	beats   int
	down    bool
}

func newFakeNames() *fakeNames {
	return &fakeNames{workers: map[string]*pb.RegisterWorkerRequest{}, drained: map[string]bool{}}
}

// forget makes it a name service that was just restarted.
func (f *fakeNames) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.workers)
	clear(f.drained)
}

func (f *fakeNames) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *fakeNames) entry(id string) *pb.RegisterWorkerRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers[id]
}

func (f *fakeNames) said() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeNames) heartbeats() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.beats
}

func (f *fakeNames) begin(call string) error {
	if f.down {
		return status.Error(codes.Unavailable, "down")
	}
	if call != "" {
		f.calls = append(f.calls, call)
	}
	return nil
}

func (f *fakeNames) RegisterWorker(_ context.Context, r *pb.RegisterWorkerRequest) (*pb.RegisterWorkerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("register"); err != nil {
		return nil, err
	}
	f.workers[r.WorkerId] = r
	f.drained[r.WorkerId] = r.Draining
	return &pb.RegisterWorkerResponse{
		LeaseId:           r.LeaseId,
		Ttl:               durationpb.New(leaseSeconds * time.Second),
		HeartbeatInterval: durationpb.New(time.Second),
	}, nil
}

func (f *fakeNames) Heartbeat(_ context.Context, r *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(""); err != nil {
		return nil, err
	}
	entry := f.workers[r.WorkerId]
	if entry == nil || entry.LeaseId != r.LeaseId {
		return nil, status.Error(codes.NotFound, "unknown lease")
	}
	f.beats++
	if f.drained[r.WorkerId] {
		return &pb.HeartbeatResponse{State: pb.WorkerState_WORKER_STATE_DRAINING}, nil
	}
	return &pb.HeartbeatResponse{State: pb.WorkerState_WORKER_STATE_ACTIVE}, nil
}

func (f *fakeNames) SetDraining(_ context.Context, r *pb.SetDrainingRequest) (*pb.SetDrainingResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("drain"); err != nil {
		return nil, err
	}
	f.drained[r.WorkerId] = r.Draining
	return &pb.SetDrainingResponse{}, nil
}

func (f *fakeNames) DeregisterWorker(_ context.Context, r *pb.DeregisterWorkerRequest) (*pb.DeregisterWorkerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("deregister"); err != nil {
		return nil, err
	}
	for id, entry := range f.workers {
		if entry.LeaseId == r.LeaseId {
			delete(f.workers, id)
		}
	}
	return &pb.DeregisterWorkerResponse{}, nil
}

// testGrid is a worker with a name service, both on pipes.
type testGrid struct {
	t       *testing.T
	names   *fakeNames
	worker  *Worker
	metrics *prometheus.Registry
	listen  *bufconn.Listener
	term    context.CancelFunc // SIGTERM
	ended   chan error         // what Run returned
}

// newTestGrid starts a worker w1 of the given handlers. change may change its configuration first.
func newTestGrid(t *testing.T, handlers map[string]Handler, change func(*Config)) *testGrid {
	g := &testGrid{t: t, names: newFakeNames(), metrics: prometheus.NewRegistry(), listen: bufconn.Listen(1 << 20), ended: make(chan error, 1)}
	nameListen := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	pb.RegisterNameServiceServer(server, g.names)
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(nameListen)
	}()
	cfg := Config{
		ID:           "w1",
		Handlers:     handlers,
		Capacity:     2,
		Listener:     g.listen,
		Advertise:    "w1.example:1",
		NameServices: []string{"127.0.0.1:50051"},
		DrainGrace:   10 * time.Second,
		MaxResult:    64 << 10,
		Log:          slog.New(slog.DiscardHandler),
		Metrics:      g.metrics,
		DialOptions:  []grpc.DialOption{pipeTo(nameListen)},
	}
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	g.worker = New(cfg)
	ctx, term := context.WithCancel(context.Background())
	g.term = term
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		g.ended <- g.worker.Run(ctx)
	}()
	t.Cleanup(func() {
		term()
		<-stopped
		server.Stop()
		<-served
	})
	synctest.Wait() // it is registered
	return g
}

// drained ends the worker and waits until it has gone.
func (g *testGrid) drained() error {
	g.term()
	return <-g.ended
}

func pipeTo(lis *bufconn.Listener) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) })
}

// dispatcher is one Process stream, seen from the dispatcher's side.
type dispatcher struct {
	t      *testing.T
	stream pb.WorkerService_ProcessClient
	hello  *pb.Hello
	hangUp context.CancelFunc

	started  []Key
	progress map[Key][]float32
	outcomes map[Key]*pb.Outcome
	refused  map[Key]string
	leaving  map[Key]bool // refused as by one that drains
}

// dial opens a stream and reads Hello.
func (g *testGrid) dial() *dispatcher {
	g.t.Helper()
	conn, err := grpc.NewClient("passthrough:///worker", pipeTo(g.listen), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &dispatcher{t: g.t, progress: map[Key][]float32{}, outcomes: map[Key]*pb.Outcome{}, refused: map[Key]string{}, leaving: map[Key]bool{}}
	d.hangUp = func() {
		cancel()
		conn.Close()
		synctest.Wait() // the worker has noticed
	}
	g.t.Cleanup(func() {
		cancel()
		conn.Close()
	})
	d.stream, err = pb.NewWorkerServiceClient(conn).Process(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	first, err := d.stream.Recv()
	if err != nil {
		g.t.Fatalf("first message: %v", err)
	}
	if first.Hello == nil {
		g.t.Fatalf("first message: got %v, want Hello", first)
	}
	d.hello = first.Hello
	return d
}

// assign hands attempts over. Each must be answered within a minute.
func (d *dispatcher) assign(list ...*pb.Assignment) {
	d.t.Helper()
	d.send(&pb.ProcessRequest{Assignments: list})
}

func (d *dispatcher) send(r *pb.ProcessRequest) {
	d.t.Helper()
	if err := d.stream.Send(r); err != nil {
		d.t.Fatalf("send: %v", err)
	}
}

// task is an assignment of attempt 1 with a minute's time.
func task(id uint64, taskType, payload string) *pb.Assignment {
	return &pb.Assignment{TaskId: id, Attempt: 1, Type: taskType, Payload: payload, Timeout: durationpb.New(time.Minute), RequestId: "r"}
}

// until reads messages until enough says that it has seen enough.
func (d *dispatcher) until(enough func() bool) {
	d.t.Helper()
	for !enough() {
		if err := d.read(); err != nil {
			d.t.Fatalf("the stream ended with %v before what was expected came: started %v, outcomes %v, refused %v", err, d.started, d.outcomes, d.refused)
		}
	}
}

// read takes one message in.
func (d *dispatcher) read() error {
	m, err := d.stream.Recv()
	if err != nil {
		return err
	}
	if m.Hello != nil {
		d.t.Errorf("Hello came again")
	}
	for _, s := range m.Started {
		d.started = append(d.started, Key{s.TaskId, s.Attempt})
	}
	for _, p := range m.Progress {
		k := Key{p.TaskId, p.Attempt}
		d.progress[k] = append(d.progress[k], p.Fraction)
	}
	for _, o := range m.Outcomes {
		k := Key{o.TaskId, o.Attempt}
		if d.outcomes[k] != nil {
			d.t.Errorf("the outcome of %v came twice on one stream", k)
		}
		d.outcomes[k] = o
	}
	for _, r := range m.Refused {
		k := Key{r.TaskId, r.Attempt}
		d.refused[k], d.leaving[k] = r.Reason, r.Draining
	}
	return nil
}

// rest reads until the stream ends, and returns how; nil for an orderly end.
func (d *dispatcher) rest() error {
	for {
		if err := d.read(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// answered says whether n attempts have an outcome or were refused.
func (d *dispatcher) answered(n int) func() bool {
	return func() bool { return len(d.outcomes)+len(d.refused) >= n }
}

func (d *dispatcher) ack(keys ...Key) {
	d.t.Helper()
	r := &pb.ProcessRequest{}
	for _, k := range keys {
		r.Acks = append(r.Acks, &pb.OutcomeAck{TaskId: k.Task, Attempt: k.Attempt})
	}
	d.send(r)
}

func (d *dispatcher) cancel(k Key) {
	d.t.Helper()
	d.send(&pb.ProcessRequest{Cancels: []*pb.Cancel{{TaskId: k.Task, Attempt: k.Attempt}}})
}

// first is the key of attempt 1.
func first(id uint64) Key { return Key{id, 1} }
