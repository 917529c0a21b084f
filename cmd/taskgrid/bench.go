package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/client"
	"taskgrid/internal/process"
)

// lab is one run of `taskgrid bench`.
type lab struct {
	out      *lines
	fail     func(error) // ends the run
	data     string      // folder of the journals
	duration time.Duration
	grid     *benchGrid
	echo     *drive.EchoClient
}

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a grid: rates, latencies and what they cost, as ratios to a raw gRPC call",
		Long: `Starts a grid of its own on free ports, with the defaults, and measures it in phases. In each round every phase is
measured between two measurements of a raw gRPC echo, to which its rate is compared: on a shared machine only that ratio
means something. The figures are medians over the rounds. docs/performance.md says what they mean.`,
		Example:           "  taskgrid bench\n  taskgrid bench --phases closed-64,unary-64 --rounds 9 --duration 1s\n  taskgrid bench --phases all -o json >figures.json",
		RunE:              runBench,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.String("dispatcher", "", "measure the grid whose dispatcher listens here, host:port, instead of one of its own; what it uses is then not told")
	f.String("phases", "", "what to measure, with commas, or all (default: those that take seconds)")
	f.Int("rounds", 5, "how often to measure each phase")
	f.Duration("duration", 2*time.Second, "how long to measure each time, after running in for a quarter of it")
	f.String("data", ".", "folder below which the journals are written, and removed at the end; it should be on a real disk")
	f.String("profile", "", "folder for CPU profiles: one more round, in which each process writes one for each phase")
	f.StringP("output", "o", formatTable, "how to print: table, json (one document) or jsonl (one document a line)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("phases", cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// benchOptions are the flags of `taskgrid bench`, checked.
type benchOptions struct {
	dispatcher, data, profile string
	phases                    []benchPhase
	rounds                    int
	duration                  time.Duration
}

func readBenchOptions(cmd *cobra.Command) (o benchOptions, err error) {
	f := cmd.Flags()
	o.dispatcher, _ = f.GetString("dispatcher")
	o.data, _ = f.GetString("data")
	o.profile, _ = f.GetString("profile")
	o.rounds, _ = f.GetInt("rounds")
	o.duration, _ = f.GetDuration("duration")
	list, _ := f.GetString("phases")
	if o.phases, err = choosePhases(list); err != nil {
		return o, err
	}
	if _, err := outputFormat(cmd); err != nil {
		return o, err
	}
	switch {
	case o.rounds < 1 || o.rounds > 1000:
		return o, fmt.Errorf("rounds: %d: must be 1 to 1000", o.rounds)
	case o.duration < 10*time.Millisecond || o.duration > time.Hour:
		return o, fmt.Errorf("duration: %v: must be 10ms to 1h", o.duration)
	case o.dispatcher != "" && o.profile != "":
		return o, fmt.Errorf("profile: %q: with --dispatcher the processes are not ours to ask", o.profile)
	}
	if o.dispatcher != "" {
		return o, addressOf("dispatcher", o.dispatcher)
	}
	return o, nil
}

func runBench(cmd *cobra.Command, _ []string) error {
	o, err := readBenchOptions(cmd)
	if err != nil {
		return exitError{exitUsage, err}
	}
	ctx, stop := process.SignalContext()
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	report, err := measureAll(ctx, fail, o)
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		err = why // a process died: that says more than what broke because of it
	}
	if err != nil {
		return withCode(err)
	}
	return writeReport(cmd, report)
}

// measureAll starts what is to be measured, measures it, and ends it.
func measureAll(ctx context.Context, fail func(error), o benchOptions) (bench.Report, error) {
	l := &lab{out: &lines{w: os.Stderr}, fail: fail, duration: o.duration}
	var err error
	if l.data, err = os.MkdirTemp(o.data, "taskgrid-bench-"); err != nil {
		return bench.Report{}, exitError{exitUsage, fmt.Errorf("data: %w", err)}
	}
	defer os.RemoveAll(l.data)
	ctx, stop := context.WithCancel(ctx)
	stopEcho, err := l.startEcho(ctx)
	if err != nil {
		stop()
		return bench.Report{}, err
	}
	defer stopEcho()
	if o.dispatcher != "" {
		l.grid = &benchGrid{dispatcher: o.dispatcher}
		l.grid.client, err = client.New(client.Config{Dispatcher: o.dispatcher, Sender: "bench", Patience: patience})
		if err == nil {
			err = drive.Ready(ctx, l.grid.client, benchReady, drive.Task())
		}
	} else {
		l.grid, err = l.startGrid(ctx, "reverse", "hash", "upper", "sum")
	}
	if err != nil {
		stop()
		return bench.Report{}, err
	}
	defer l.grid.stop()
	defer stop() // before the processes end
	return l.run(ctx, o)
}

// run measures all phases.
func (l *lab) run(ctx context.Context, o benchOptions) (bench.Report, error) {
	var phases []bench.Phase
	for _, p := range o.phases {
		phases = append(phases, bench.Phase{Name: p.name, What: p.what, Run: func(ctx context.Context) (bench.Figures, error) { return p.run(l, ctx) }})
	}
	report := bench.Report{Version: version, Began: time.Now(), Rounds: o.rounds, Duration: o.duration.String(), Load: loadAverage()}
	progress := newProgress(os.Stderr)
	defer progress.end()
	var err error
	report.Phases, err = bench.Rounds(ctx, phases, o.rounds, l.yardstick, progress.tell)
	report.Took = time.Since(report.Began).Round(time.Second).String()
	if err == nil && o.profile != "" {
		err = l.writeProfiles(ctx, phases, o.profile)
	}
	return report, err
}

// window is the usual one: edge is called when it opens and closes.
func (l *lab) window(edge func(bool)) drive.Window {
	return drive.Window{Warm: l.duration / 4, For: l.duration, Edge: edge}
}

// yardstick returns the rate of the raw echo.
func (l *lab) yardstick(ctx context.Context) (float64, error) {
	figures, err := drive.Measure(ctx, l.window(nil), drive.Calls(drive.InFlight, l.echo.Call))
	return figures[bench.Rate], err
}

// startEcho starts the yardstick's server as a process of its own and connects to it.
func (l *lab) startEcho(ctx context.Context) (stop func(), err error) {
	at, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	server, err := startProcess(l.out, "echo", "bench-echo", at[0])
	if err != nil {
		return nil, err
	}
	server.watch(ctx, l.fail)
	if l.echo, err = drive.DialEcho(at[0]); err != nil {
		server.stop()
		return nil, err
	}
	return func() { l.echo.Close(); server.stop() }, nil
}

// newBenchEchoCommand returns the yardstick's server, which bench starts.
func newBenchEchoCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "bench-echo ADDRESS",
		Short:  "Serve the raw gRPC echo that bench compares with",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			ctx, stop := process.SignalContext()
			defer stop()
			lis, err := net.Listen("tcp", args[0])
			if err != nil {
				return exitError{exitFailed, err}
			}
			return drive.ServeEcho(ctx, lis)
		},
	}
}
