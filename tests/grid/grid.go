//go:build unix

// Package grid starts real processes of the built binary for tests: any number of them on free ports of the loopback
// interface, each to be killed, paused and restarted. Everything it starts is ended with the test.
package grid

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"taskgrid/client"
	"taskgrid/internal/ports"
	pb "taskgrid/proto/taskgrid/v1"
)

// Patience is how long a test waits for what should take moments. It is generous because CI machines stall; tests that
// claim a time measure it themselves.
const Patience = 30 * time.Second

// Grid is a set of processes that belong together.
type Grid struct {
	t    testing.TB
	dir  string
	bin  string
	NS   string // address of the name service
	Disp string // address of the dispatcher
	HTTP string // address of monitoring's REST

	LogLevel string // of the processes started from now on; debug

	dial []grpc.DialOption // of the clients: see Secure
}

// New returns a grid with free ports and no processes.
func New(t testing.TB) *Grid {
	t.Helper()
	ports := FreePorts(t, 3)
	return &Grid{t: t, dir: t.TempDir(), bin: Binary(t), NS: ports[0], Disp: ports[1], HTTP: ports[2], LogLevel: "debug"}
}

// Journal returns the dispatcher's data directory.
func (g *Grid) Journal() string { return filepath.Join(g.dir, "dispatcher") }

// FreePorts returns n addresses on which nothing listens, and which no other test process is given.
func FreePorts(t testing.TB, n int) []string {
	t.Helper()
	addresses, err := ports.Free(n)
	if err != nil {
		t.Fatal(err)
	}
	return addresses
}

// Nameservice starts the name service.
func (g *Grid) Nameservice(flags ...string) *Process {
	return g.Start("nameservice", append([]string{"nameservice", "--listen", g.NS}, flags...)...)
}

// Dispatcher starts the dispatcher.
func (g *Grid) Dispatcher(flags ...string) *Process {
	return g.Start("dispatcher", append([]string{"dispatcher", "--listen", g.Disp, "--nameservice", g.NS,
		"--data", g.Journal()}, flags...)...)
}

// Worker starts a worker for types, which may be several with commas.
func (g *Grid) Worker(id, types string, flags ...string) *Process {
	return g.Start(id, append([]string{"worker", types, "--id", id, "--listen", "127.0.0.1:0", "--nameservice", g.NS}, flags...)...)
}

// Monitoring starts monitoring.
func (g *Grid) Monitoring(flags ...string) *Process {
	return g.Start("monitoring", append([]string{"monitoring", "--listen", "127.0.0.1:0", "--http", g.HTTP, "--nameservice", g.NS}, flags...)...)
}

// Client returns a client of the grid that finds the dispatcher through the name service.
func (g *Grid) Client() *client.Client {
	return g.connect(client.Config{NameServices: g.NS, Sender: "test"})
}

// Direct returns a client of the grid that is told where the dispatcher is, for tests in which the name service is away.
func (g *Grid) Direct() *client.Client {
	return g.connect(client.Config{Dispatcher: g.Disp, NameServices: g.NS, Sender: "test"})
}

func (g *Grid) connect(cfg client.Config) *client.Client {
	g.t.Helper()
	cfg.DialOptions = append(cfg.DialOptions, g.dial...)
	c, err := client.New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	return c
}

// Context returns a context that ends after the test's patience.
func (g *Grid) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 4*Patience)
	g.t.Cleanup(cancel)
	return ctx
}

// Eventually waits until do returns nil, and fails the test with its last error otherwise.
func (g *Grid) Eventually(what string, do func(ctx context.Context) error) {
	g.t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s: not within %v: %v", what, Patience, err)
		}
		time.Sleep(pause)
	}
}

// Connected waits until the dispatcher has a stream to each of the workers, and takes tasks of their types.
func (g *Grid) Connected(workers ...string) {
	g.t.Helper()
	c := g.Direct()
	g.Eventually("connect "+strings.Join(workers, ", "), func(ctx context.Context) error {
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		links := map[string]*pb.WorkerLink{}
		for _, w := range st.GetWorkers() {
			links[w.GetWorker().GetWorkerId()] = w
		}
		known := map[string]bool{}
		for _, typ := range st.GetTypes() {
			known[typ.GetType()] = true
		}
		for _, id := range workers {
			for _, typ := range links[id].GetWorker().GetTypes() {
				if !known[typ] {
					return fmt.Errorf("type %s of worker %s is not known yet", typ, id)
				}
			}
			if w := links[id]; !w.GetConnected() || w.GetWorker().GetState() != pb.WorkerState_WORKER_STATE_ACTIVE {
				return fmt.Errorf("worker %s is not connected: %v", id, w)
			}
		}
		return nil
	})
}

// Run runs a verb of the binary to its end and returns what it printed and its exit code.
func (g *Grid) Run(args ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.bin, args...)
	cmd.Dir = g.dir
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		g.t.Fatalf("taskgrid %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// Verb is Run for a verb of the client.
func (g *Grid) Verb(args ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	return g.Run(append(args, "--nameservice", g.NS)...)
}
