package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"taskgrid/bench/drive"
	"taskgrid/client"
	"taskgrid/internal/ports"
	pb "taskgrid/proto/taskgrid/v1"
)

// ready is how long a grid may take until it works, with a thousand workers on a busy machine too.
const ready = 2 * time.Minute

// begun is how long a grid that runs already may take for a task. One that takes longer has no worker for it, or is busy
// with others, and cannot be measured.
const begun = 10 * time.Second

// Grid is a grid of real processes, with the defaults that a user has.
type Grid struct {
	Client *client.Client

	lab         *Lab
	naive       bool // its dispatcher is that of package bound
	nameservice string
	dispatchers []string // where they listen
	peers       string   // --peers of a cluster of several
	data        string
	processes   map[string]*process // by name
	profiles    map[string]string   // where each serves Go profiles
}

// taskOf returns a task of a type with 32 bytes.
func taskOf(typ string) *pb.TaskSpec {
	if typ == "sum" {
		return &pb.TaskSpec{Type: typ, Payload: "1,2,3,4,5,6,7,8,9,10,11,12,13,14"}
	}
	return &pb.TaskSpec{Type: typ, Payload: drive.Payload}
}

// startGrid starts a grid with so many dispatchers and one worker process for each of types, and waits until it works.
func (l *Lab) startGrid(ctx context.Context, dispatchers int, types ...string) (*Grid, error) {
	return (&Grid{lab: l}).start(ctx, dispatchers, types...)
}

// start is startGrid for a grid of which nothing runs.
func (g *Grid) start(ctx context.Context, dispatchers int, types ...string) (_ *Grid, err error) {
	at, err := ports.Free(1 + 2*dispatchers)
	if err != nil {
		return nil, err
	}
	g.nameservice, g.dispatchers, g.processes, g.profiles = at[0], at[1:1+dispatchers], map[string]*process{}, map[string]string{}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.data, err = os.MkdirTemp(g.lab.data, "grid-"); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if dispatchers > 1 {
		var peers []string
		for i, address := range at[1+dispatchers:] {
			peers = append(peers, fmt.Sprintf("d%d=%s", i+1, address))
		}
		g.peers = strings.Join(peers, ",")
	}
	if err := g.startProcess("nameservice", "nameservice", "--listen", g.nameservice); err != nil {
		return nil, err
	}
	for i := range g.dispatchers {
		if err := g.startDispatcher(i); err != nil {
			return nil, err
		}
	}
	for _, typ := range types {
		if err := g.startWorker(typ); err != nil {
			return nil, err
		}
	}
	cfg := client.Config{NameServices: g.nameservice, Dispatcher: g.dispatchers[0], Sender: "bench"}
	if g.Client, err = client.New(cfg); err != nil {
		return nil, err
	}
	return g, g.works(ctx, types...)
}

// works waits until the grid has done a task of each type.
func (g *Grid) works(ctx context.Context, types ...string) error {
	var tasks []*pb.TaskSpec
	for _, typ := range types {
		tasks = append(tasks, taskOf(typ))
	}
	return drive.Ready(ctx, g.Client, ready, tasks...)
}

// dispatcherName returns what the process of a dispatcher is called: the only one "dispatcher", several "dispatcher-1" and
// so on.
func (g *Grid) dispatcherName(i int) string {
	if g.peers == "" {
		return "dispatcher"
	}
	return "dispatcher-" + strconv.Itoa(i+1)
}

func (g *Grid) startDispatcher(i int) error {
	id := "d" + strconv.Itoa(i+1)
	if g.naive {
		return g.startProcess(g.dispatcherName(i), "bench-bound", g.dispatchers[i], g.nameservice, filepath.Join(g.data, id))
	}
	args := []string{"dispatcher", "--id", id, "--listen", g.dispatchers[i], "--nameservice", g.nameservice, "--data", filepath.Join(g.data, id)}
	if g.peers != "" {
		args = append(args, "--peers", g.peers)
	}
	return g.startProcess(g.dispatcherName(i), args...)
}

func (g *Grid) startWorker(typ string) error {
	return g.startProcess("worker-"+typ, "worker", typ, "--id", typ, "--listen", "127.0.0.1:0", "--nameservice", g.nameservice)
}

// startFleet starts n workers of a type in one process.
func (g *Grid) startFleet(typ string, n int) error {
	return g.startProcess("worker-fleet", "bench-workers", typ, strconv.Itoa(n), "--nameservice", g.nameservice)
}

// startProcess starts a process of the grid.
func (g *Grid) startProcess(name string, args ...string) error {
	if g.lab.cfg.Profiles && !strings.HasPrefix(args[0], "bench-") {
		admin, err := ports.Free(1)
		if err != nil {
			return err
		}
		g.profiles[name] = admin[0]
		args = append(args, "--admin-address", admin[0])
	}
	p, err := g.lab.start(name, args...)
	if err != nil {
		return err
	}
	g.processes[name] = p
	return nil
}

// stopProcess ends one process, which the grid then does without.
func (g *Grid) stopProcess(name string) {
	g.processes[name].stop()
	delete(g.processes, name)
	delete(g.profiles, name)
}

// stop ends the processes, those that finish something first, and removes the journal.
func (g *Grid) stop() {
	if g.Client != nil {
		g.Client.Close()
	}
	for _, first := range []string{"worker", "dispatcher", "nameservice"} {
		for name := range g.processes {
			if strings.HasPrefix(name, first) {
				g.stopProcess(name)
			}
		}
	}
	if g.data != "" {
		os.RemoveAll(g.data)
	}
}

// status asks the dispatcher.
func (g *Grid) status(ctx context.Context) (*pb.DispatcherGetStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return g.Client.Dispatcher().GetStatus(ctx, &pb.DispatcherGetStatusRequest{})
}

// connected waits until so many workers are connected to the dispatcher.
func (g *Grid) connected(ctx context.Context, want int) error {
	return g.eventually(ctx, ready, fmt.Sprintf("%d workers are connected", want), func(s *pb.DispatcherGetStatusResponse) bool {
		n := 0
		for _, link := range s.Workers {
			if link.Connected {
				n++
			}
		}
		return n >= want
	})
}

// idle waits until no task is queued, running or retrying.
func (g *Grid) idle(ctx context.Context, patience time.Duration) error {
	return g.eventually(ctx, patience, "no task is left", func(s *pb.DispatcherGetStatusResponse) bool {
		return s.Tasks.GetQueued()+s.Tasks.GetRunning()+s.Tasks.GetRetrying() == 0
	})
}

// eventually asks for the status until it is as wanted.
func (g *Grid) eventually(ctx context.Context, patience time.Duration, what string, is func(*pb.DispatcherGetStatusResponse) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var last error
	for {
		status, err := g.status(ctx)
		if err == nil && is(status) {
			return nil
		}
		select {
		case <-look.C:
			last = err
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited %v in vain until %s", patience, what), last)
		}
	}
}
