package virtual

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"taskgrid/client"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/witness"
)

// NameServiceAddress is where the first name service of a grid listens, and where everybody looks for it.
const NameServiceAddress = "10.0.0.1:50051"

// Grid is a grid in the making: a test starts and stops its processes. It must be made and used inside a synctest bubble.
type Grid struct {
	Network *Network
	Log     *LogBook

	t     testing.TB
	hosts atomic.Int64 // addresses given out

	once   sync.Once
	client *client.Client

	notes sync.Mutex
	facts []checker.Fact // what the test's clients were told
}

// New returns a grid without processes.
func New(t testing.TB) *Grid {
	g := &Grid{Network: NewNetwork(), Log: &LogBook{}, t: t}
	t.Cleanup(func() {
		if t.Failed() && testing.Verbose() {
			t.Log(g.Log.String())
		}
	})
	return g
}

// Start returns a grid with a name service, a dispatcher that leads, and a worker w-TYPE for each of the built-in types
// named, known to the dispatcher.
func Start(t testing.TB, types ...string) (*Grid, *Dispatcher) {
	t.Helper()
	g := New(t)
	g.StartNameService()
	d := g.StartDispatcher()
	for _, typ := range types {
		g.StartWorker("w-"+typ, Builtin(typ))
	}
	for _, typ := range types {
		g.AwaitWorker("w-" + typ)
	}
	return g, d
}

// address returns an address that nobody has.
func (g *Grid) address(port int) string {
	return fmt.Sprintf("10.0.1.%d:%d", g.hosts.Add(1), port)
}

// logger returns the logger of a process.
func (g *Grid) logger(process string) *slog.Logger {
	return slog.New(slog.NewTextHandler(g.Log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("process", process)
}

// Connect returns a connection from a host of its own to an address, for calls without the library.
func (g *Grid) Connect(address string) *grpc.ClientConn {
	return g.connect(g.Network.Attach(g.address(9)), address, "test")
}

func (g *Grid) connect(from *Host, address, sender string) *grpc.ClientConn {
	g.t.Helper()
	conn, err := rpc.Dial("passthrough:///"+address, sender, from.Dialer())
	if err != nil {
		g.t.Fatalf("dial %s: %v", address, err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return conn
}

// Client returns the client of the test, which finds the dispatcher through the name service.
func (g *Grid) Client() *client.Client {
	g.once.Do(func() { g.client = g.NewClient(client.Config{}) })
	return g.client
}

// NewClient returns a client on a host of its own. Where it looks for the grid and its dialling are filled in.
func (g *Grid) NewClient(cfg client.Config) *client.Client {
	g.t.Helper()
	if cfg.NameServices == "" {
		cfg.NameServices = NameServiceAddress
	}
	host := g.Network.Attach(g.address(8))
	cfg.Log, cfg.DialOptions = g.logger("client"), []grpc.DialOption{host.Dialer()}
	c, err := client.New(cfg)
	if err != nil {
		g.t.Fatalf("client: %v", err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// patience bounds every call of a test, in virtual time: longer than anything that the grid takes to heal.
const patience = 5 * time.Minute

// Context returns a context that ends after patience, or with the test.
func (g *Grid) Context() context.Context {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	g.t.Cleanup(cancel)
	return ctx
}

// Submit submits a task through the library and returns its id.
func (g *Grid) Submit(typ, payload string) uint64 {
	g.t.Helper()
	return g.SubmitSpec(&pb.TaskSpec{Type: typ, Payload: payload})
}

// SubmitSpec is Submit with everything that can be said.
func (g *Grid) SubmitSpec(spec *pb.TaskSpec) uint64 {
	g.t.Helper()
	id, err := g.Client().Submit(g.Context(), spec)
	if err != nil {
		g.t.Fatalf("submit %v: %v", spec, err)
	}
	g.note(witness.Accepted(spec, id, false))
	return id
}

// Get returns a task as it stands.
func (g *Grid) Get(id uint64) *pb.Task {
	g.t.Helper()
	asked := time.Now()
	task, err := g.Client().Get(g.Context(), id)
	if err != nil {
		g.t.Fatalf("get %d: %v", id, err)
	}
	g.note(witness.Task(asked, task))
	return task
}

// Wait waits for tasks to end and returns them by id.
func (g *Grid) Wait(ids ...uint64) map[uint64]*pb.Task {
	g.t.Helper()
	ended, asked := map[uint64]*pb.Task{}, time.Now()
	for task, err := range g.Client().Wait(g.Context(), ids...) {
		if err != nil {
			g.t.Fatalf("wait for %v: %v; ended: %v", ids, err, slices.Sorted(maps.Keys(ended)))
		}
		if ended[task.Id] != nil {
			g.t.Errorf("task %d was told twice", task.Id)
		}
		ended[task.Id] = task
		g.note(witness.Task(asked, task))
	}
	return ended
}

// WaitOne waits for one task to end.
func (g *Grid) WaitOne(id uint64) *pb.Task {
	g.t.Helper()
	return g.Wait(id)[id]
}

// Status returns what the dispatcher says of itself, and checks that its counts conserve.
func (g *Grid) Status() *pb.DispatcherGetStatusResponse {
	g.t.Helper()
	status, err := g.Client().Status(g.Context())
	if err != nil {
		g.t.Fatalf("status: %v", err)
	}
	counts, judge := witness.Counts(status), checker.New(checker.Limits{})
	for _, f := range counts {
		judge.Add(f)
	}
	if err := judge.Verdict(); err != nil {
		g.t.Error(err)
	}
	g.note(counts...)
	return status
}

// AwaitState waits until a task has come to a state, and returns the step that led to it.
func (g *Grid) AwaitState(id uint64, state pb.TaskState) *pb.Event {
	g.t.Helper()
	return g.AwaitEvent(fmt.Sprintf("task %d is %v", id, state), func(e *pb.Event) bool {
		return e.GetTask().GetId() == id && e.GetTask().GetTo() == state
	})
}

// AwaitWorker waits until the dispatcher has a stream to a worker, for the first time.
func (g *Grid) AwaitWorker(id string) {
	g.t.Helper()
	g.AwaitChange(0, id, "stream", "connected")
}

// AwaitChange waits for the first change of a worker to a value, after the event with a number.
func (g *Grid) AwaitChange(since uint64, id, aspect, to string) *pb.Event {
	g.t.Helper()
	return g.AwaitEventSince(since, fmt.Sprintf("%s of worker %s is %q", aspect, id, to), func(e *pb.Event) bool {
		w := e.GetWorker()
		return w.GetWorkerId() == id && w.GetAspect() == aspect && w.GetTo() == to
	})
}

// AwaitEvent waits for the first event, of all that ever were or come, that is the one.
func (g *Grid) AwaitEvent(what string, is func(*pb.Event) bool) *pb.Event {
	g.t.Helper()
	return g.AwaitEventSince(0, what, is)
}

// AwaitEventSince is AwaitEvent for events after the one with a number.
func (g *Grid) AwaitEventSince(since uint64, what string, is func(*pb.Event) bool) *pb.Event {
	g.t.Helper()
	for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{Since: since}) {
		if err != nil {
			g.t.Fatalf("waiting until %s: %v", what, err)
		}
		if is(e) {
			return e
		}
	}
	g.t.Fatalf("waiting until %s: the events ended", what)
	return nil
}

// LastEvent returns the number of the newest event.
func (g *Grid) LastEvent() uint64 { return g.Status().LastEvent }

// LogBook keeps what all processes log. Its methods may be called concurrently.
type LogBook struct {
	mu    sync.Mutex
	lines strings.Builder
}

// Write implements io.Writer.
func (b *LogBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

// String returns all lines.
func (b *LogBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

// Lines returns the lines that contain all of the words.
func (b *LogBook) Lines(words ...string) (found []string) {
	for line := range strings.Lines(b.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			found = append(found, line)
		}
	}
	return found
}
