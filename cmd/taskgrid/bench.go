package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/bench"
	"taskgrid/bench/lab"
	"taskgrid/internal/process"
)

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a grid: rates, latencies and what they cost, as ratios to a raw gRPC call",
		Long: `Starts a grid of its own on free ports, with the defaults, and measures it in phases. In each round every phase is
measured between two measurements of a raw gRPC echo, to which its rate is compared: on a shared machine only that ratio
means something. The figures are medians over the rounds. docs/performance.md says what they mean.

Phases:` + phaseList(),
		Example:           "  taskgrid bench\n  taskgrid bench --phases closed-64,unary-64 --rounds 9 --duration 1s\n  taskgrid bench --phases all -o json >figures.json",
		RunE:              runBench,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.String("dispatcher", "", "measure the grid whose dispatcher listens here, host:port, instead of one of its own; what its processes use is then not told")
	f.String("phases", "", "what to measure, separated by commas, or all (default: what takes some minutes)")
	f.Int("rounds", 5, "how often to measure each phase")
	f.Duration("duration", 2*time.Second, "how long to measure each time, after running in for a quarter of it")
	f.Int("backlog", 1_000_000, "how many tasks the phase backlog queues")
	f.Int("finished", 10_000_000, "how many tasks the phase disk finishes")
	f.String("data", ".", "folder below which the journals are written, and removed at the end; it should be on a real disk")
	f.String("profile", "", "folder for CPU profiles: one more round of the usual phases, in which each process writes one for each phase")
	f.StringP("output", "o", formatTable, "how to print: table, json (one document) or jsonl (one document a line)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("phases", cobra.FixedCompletions(lab.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func phaseList() (list string) {
	for _, p := range lab.Phases {
		list += fmt.Sprintf("\n  %-16s %s", p.Name, p.What)
	}
	return list
}

// benchOptions are the flags of `taskgrid bench`, checked.
type benchOptions struct {
	lab.Config
	phases  []lab.Phase
	rounds  int
	profile string
}

func readBenchOptions(cmd *cobra.Command) (o benchOptions, err error) {
	f := cmd.Flags()
	o.Dispatcher, _ = f.GetString("dispatcher")
	o.Data, _ = f.GetString("data")
	o.Duration, _ = f.GetDuration("duration")
	o.Backlog, _ = f.GetInt("backlog")
	o.Finished, _ = f.GetInt("finished")
	o.profile, _ = f.GetString("profile")
	o.Profiles = o.profile != ""
	o.rounds, _ = f.GetInt("rounds")
	list, _ := f.GetString("phases")
	if o.phases, err = lab.Choose(list); err != nil {
		return o, err
	}
	if _, err := outputFormat(cmd); err != nil {
		return o, err
	}
	const most = 100_000_000
	switch {
	case o.rounds < 1 || o.rounds > 1000:
		return o, fmt.Errorf("rounds: %d: must be 1 to 1000", o.rounds)
	case o.Duration < 10*time.Millisecond || o.Duration > time.Hour:
		return o, fmt.Errorf("duration: %v: must be 10ms to 1h", o.Duration)
	case o.Backlog < 1 || o.Backlog > most:
		return o, fmt.Errorf("backlog: %d: must be 1 to %d", o.Backlog, most)
	case o.Finished < 10 || o.Finished > most:
		return o, fmt.Errorf("finished: %d: must be 10 to %d", o.Finished, most)
	case o.Dispatcher == "":
		return o, nil
	case o.profile != "":
		return o, fmt.Errorf("profile: %q: with --dispatcher the processes are not ours to ask", o.profile)
	}
	if err := lab.CheckRunning(o.phases); err != nil {
		return o, err
	}
	return o, addressOf("dispatcher", o.Dispatcher)
}

func runBench(cmd *cobra.Command, _ []string) error {
	o, err := readBenchOptions(cmd)
	if err != nil {
		return exitError{exitUsage, err}
	}
	executable, err := os.Executable()
	if err != nil {
		return exitError{exitFailed, fmt.Errorf("find this program's own file: %w", err)}
	}
	log := &lines{w: os.Stderr}
	o.Command = func(name string, args ...string) *exec.Cmd {
		c := exec.Command(executable, append(args, "--"+untilStdinFlag, "--log-level", "error")...)
		output := &prefixed{lines: log, prefix: name}
		c.Stdout, c.Stderr = output, output
		c.Env = withoutCollisions(os.Environ())
		detach(c)
		return c
	}
	ctx, stop := process.SignalContext()
	defer stop()
	report, err := measure(ctx, o)
	for _, cannotWrite := range []error{os.ErrNotExist, os.ErrPermission, syscall.ENOTDIR, syscall.EROFS} {
		if errors.Is(err, cannotWrite) {
			return exitError{exitUsage, err} // --data or --profile
		}
	}
	if err != nil {
		return withCode(err)
	}
	return writeReport(cmd, report)
}

// measure opens a lab, measures all phases in it, and closes it.
func measure(ctx context.Context, o benchOptions) (bench.Report, error) {
	report := bench.Report{Version: version, Began: time.Now(), Rounds: o.rounds, Duration: o.Duration.String(), Load: loadAverage()}
	if err := makeFolder(o.profile); err != nil { // before minutes are spent
		return report, fmt.Errorf("profile: %w", err)
	}
	ctx, l, err := lab.Open(ctx, o.Config)
	defer l.Close()
	if err != nil {
		return report, lab.Why(ctx, err)
	}
	progress := newProgress(os.Stderr)
	defer progress.end()
	report.Phases, err = bench.Rounds(ctx, l.Bind(o.phases), o.rounds, l.Yardstick, progress.tell)
	report.Took = time.Since(report.Began).Round(time.Second).String()
	if err == nil && o.profile != "" {
		err = l.Profile(ctx, o.phases, filepath.Clean(o.profile))
	}
	return report, lab.Why(ctx, err)
}

// makeFolder makes a folder if it has a name and is not there.
func makeFolder(name string) error {
	if name == "" {
		return nil
	}
	return os.MkdirAll(name, 0o755)
}

// writeReport prints the report in the format that was asked for.
func writeReport(cmd *cobra.Command, report bench.Report) error {
	r := newResult(cmd)
	if r.format != formatTable {
		return r.add(report)
	}
	_, err := io.WriteString(cmd.OutOrStdout(), report.Table())
	return err
}
