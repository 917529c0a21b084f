package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/client"
	"taskgrid/internal/ports"
)

// Config says what to measure with.
type Config struct {
	// Command returns a command of the program that is ready to start: `taskgrid ARGS…`, which ends when its standard
	// input closes. Its log goes where the caller wants, under the name.
	Command func(name string, args ...string) *exec.Cmd
	// Dispatcher is where a grid runs that is to be measured, host:port. "": the lab starts grids of its own.
	Dispatcher string
	Data       string        // folder below which the journals are written
	Duration   time.Duration // of one measurement
	Backlog    int           // tasks of the phases that queue many
	Finished   int           // tasks of the phase that finishes many
	Profiles   bool          // have the processes serve Go profiles, for Profile
}

// Lab is one run.
type Lab struct {
	cfg     Config
	data    string
	running sync.WaitGroup // the processes
	fail    context.CancelCauseFunc
	echoing *process
	echo    *drive.EchoClient
	echoCPU float64 // what a call of the yardstick cost when it was last measured, client and server, in microseconds
	grid    *Grid   // the usual one
	bound   *Grid   // nil until it is measured
}

// types are the types of the usual grid, each with one worker process.
var types = []string{"reverse", "hash", "upper", "sum"}

// Open starts the yardstick and the usual grid. The context ends, with the cause, when a process dies by itself. Close
// the lab also after an error.
func Open(ctx context.Context, cfg Config) (_ context.Context, l *Lab, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	l = &Lab{cfg: cfg, fail: fail}
	if l.data, err = os.MkdirTemp(cfg.Data, "taskgrid-bench-"); err != nil {
		return ctx, l, fmt.Errorf("data: %w", err)
	}
	at, err := ports.Free(1)
	if err != nil {
		return ctx, l, err
	}
	if l.echoing, err = l.start("echo", "bench-echo", at[0]); err != nil {
		return ctx, l, err
	}
	if l.echo, err = drive.DialEcho(at[0]); err != nil {
		return ctx, l, err
	}
	if cfg.Dispatcher == "" {
		l.grid, err = l.startGrid(ctx, 1, types...)
		return ctx, l, err
	}
	l.grid = &Grid{lab: l, dispatchers: []string{cfg.Dispatcher}}
	if l.grid.Client, err = client.New(client.Config{Dispatcher: cfg.Dispatcher, Sender: "bench", Patience: 2 * time.Second}); err != nil {
		return ctx, l, err
	}
	if _, err := l.grid.Client.Status(ctx); err != nil { // a grid that runs answers at once
		return ctx, l, err
	}
	return ctx, l, drive.Ready(ctx, l.grid.Client, begun, drive.Task())
}

// Close ends all processes and removes what was written.
func (l *Lab) Close() {
	for _, g := range []*Grid{l.grid, l.bound} {
		if g != nil {
			g.stop()
		}
	}
	if l.echo != nil {
		l.echo.Close()
	}
	if l.echoing != nil {
		l.echoing.stop()
	}
	l.running.Wait()
	l.fail(nil)
	if l.data != "" {
		os.RemoveAll(l.data)
	}
}

// Why returns the reason for which the context of a lab ended, or else err: a process that died says more than what
// broke because of it.
func Why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// Yardstick returns the rate of the raw echo.
func (l *Lab) Yardstick(ctx context.Context) (float64, error) {
	m := newMeter(map[string][]int{"client": {os.Getpid()}, "server": {l.echoing.pid()}})
	figures, err := drive.Measure(ctx, l.window(m.edge), drive.Calls(drive.InFlight, l.echo.Call))
	l.echoCPU = m.cpu() / (figures[bench.Rate] * l.cfg.Duration.Seconds())
	return figures[bench.Rate], err
}

// Client returns a client of the usual grid.
func (l *Lab) Client() *client.Client { return l.grid.Client }

// window is the usual one. Edge is called when it opens and closes.
func (l *Lab) window(edge func(end bool)) drive.Window {
	return drive.Window{Warm: l.cfg.Duration / 4, For: l.cfg.Duration, Edge: edge}
}

// measure measures work on a grid, and what its processes use meanwhile.
func (l *Lab) measure(ctx context.Context, g *Grid, work func(context.Context, *drive.Recorder) error) (bench.Figures, error) {
	m := g.meter()
	figures, err := drive.Measure(ctx, l.window(m.edge), work)
	if err != nil {
		return nil, err
	}
	count := figures[bench.Rate] * l.cfg.Duration.Seconds()
	m.add(figures, count)
	if cpu := m.cpu() / count; cpu > 0 && l.echoCPU > 0 {
		figures["cpu_us"], figures["cpu_ratio"] = cpu, l.echoCPU/cpu
	}
	return figures, nil
}
