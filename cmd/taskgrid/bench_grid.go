package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/bench/usage"
	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// benchReady is how long a grid may take until it works.
const benchReady = 30 * time.Second

// benchTypes are the types of the measured grid, each with one worker process, and a task of each.
var benchTypes = map[string]string{"reverse": drive.Payload, "hash": drive.Payload, "upper": drive.Payload, "sum": "1,2,3,4,5,6,7,8,9,10,11,12,13"}

// benchGrid is a grid of real processes, with the defaults that a user has.
type benchGrid struct {
	nameservice, dispatcher string // addresses
	processes               map[string]*benchProcess
	profiles                map[string]string // where each process serves Go profiles
	client                  *client.Client
	data                    string
}

// startGrid starts a grid with one worker process for each of types. Fail is called if a process ends before ctx does.
func (l *lab) startGrid(ctx context.Context, types ...string) (_ *benchGrid, err error) {
	at, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	g := &benchGrid{nameservice: at[0], dispatcher: at[1], processes: map[string]*benchProcess{}, profiles: map[string]string{}}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.data, err = os.MkdirTemp(l.data, "grid-"); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if err := g.start(ctx, l, "nameservice", "nameservice", "--listen", g.nameservice); err != nil {
		return nil, err
	}
	if err := g.startDispatcher(ctx, l); err != nil {
		return nil, err
	}
	var tasks []*pb.TaskSpec
	for _, name := range types {
		if err := g.start(ctx, l, "worker-"+name, "worker", name, "--id", name, "--listen", "127.0.0.1:0", "--nameservice", g.nameservice); err != nil {
			return nil, err
		}
		tasks = append(tasks, &pb.TaskSpec{Type: name, Payload: benchTypes[name]})
	}
	if g.client, err = client.New(client.Config{Dispatcher: g.dispatcher, Sender: "bench"}); err != nil {
		return nil, err
	}
	return g, drive.Ready(ctx, g.client, benchReady, tasks...)
}

func (g *benchGrid) startDispatcher(ctx context.Context, l *lab) error {
	return g.start(ctx, l, "dispatcher", "dispatcher", "--listen", g.dispatcher, "--nameservice", g.nameservice, "--data", filepath.Join(g.data, "dispatcher"))
}

// start starts a process of the grid.
func (g *benchGrid) start(ctx context.Context, l *lab, name string, args ...string) error {
	admin, err := freeAddresses(1)
	if err != nil {
		return err
	}
	g.profiles[name] = admin[0]
	p, err := startProcess(l.out, name, append(args, "--admin-address", admin[0])...)
	if err != nil {
		return err
	}
	g.processes[name] = p
	p.watch(ctx, l.fail)
	return nil
}

// stop ends the processes, those that finish something first, and removes the journal. The context that the grid was
// started with must have ended.
func (g *benchGrid) stop() {
	if g.client != nil {
		g.client.Close()
	}
	for _, first := range []string{"worker", "dispatcher", "nameservice"} {
		for name, p := range g.processes {
			if strings.HasPrefix(name, first) {
				p.stop()
			}
		}
	}
	if g.data != "" {
		os.RemoveAll(g.data)
	}
}

// meter reads what the processes of a grid use between the two edges of a window.
type meter struct {
	pids   map[string][]int // by what the figures are called: all workers together are "worker"
	before map[string]usage.Usage
	used   map[string]usage.Usage // RSS: at the end
}

// meter returns a meter of the grid's processes and of this one, the client.
func (g *benchGrid) meter() *meter {
	m := &meter{pids: map[string][]int{}, before: map[string]usage.Usage{}, used: map[string]usage.Usage{}}
	for name, p := range g.processes {
		kind, _, _ := strings.Cut(name, "-")
		m.pids[kind] = append(m.pids[kind], p.pid())
	}
	if len(m.pids) > 0 {
		m.pids["client"] = []int{os.Getpid()}
	}
	return m
}

func (m *meter) edge(end bool) {
	for kind, pids := range m.pids {
		var now usage.Usage
		for _, pid := range pids {
			u, err := usage.Read(pid)
			if err != nil {
				continue // this platform does not tell: the figure is left out
			}
			now = usage.Usage{CPU: now.CPU + u.CPU, Written: now.Written + u.Written, RSS: now.RSS + u.RSS}
		}
		if !end {
			m.before[kind] = now
			continue
		}
		b := m.before[kind]
		m.used[kind] = usage.Usage{CPU: now.CPU - b.CPU, Written: now.Written - b.Written, RSS: now.RSS}
	}
}

// add adds to the figures what one thing cost, of which so many were done.
func (m *meter) add(figures bench.Figures, count float64) {
	for kind, u := range m.used {
		if u.RSS == 0 {
			continue
		}
		figures["cpu_us."+kind] = float64(u.CPU.Microseconds()) / count
		figures["rss_mib."+kind] = float64(u.RSS) / (1 << 20)
		if u.Written > 0 {
			figures["written_bytes."+kind] = float64(u.Written) / count
		}
	}
}
