// Command peers measures TaskGrid beside the queues that people use instead, and a raw gRPC call: the same work (reverse 32
// bytes; a task is done when its submitter knows the result), on the same machine, in the same minutes, each with client,
// server and worker as processes of their own.
//
// It starts Redis, PostgreSQL, a NATS server and a grid itself, in temporary folders and on free ports. A peer that is not
// installed is said in words and left out. From the root of the repository:
//
//	make bench-peers
//
// Each peer is a type that can Start, Run so many tasks with so many in flight, and Stop; see peer.go. The rounds, the
// yardstick and the medians are those of package bench.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 2 && os.Args[1] == "serve" { // a process that we started ourselves
		err = serve(ctx, os.Args[2], os.Args[3:])
	} else {
		err = run(ctx)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds      int
	duration    time.Duration
	only        string
	taskgrid    string
	out, figure string
}

func run(ctx context.Context) error {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often to measure each")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "about how long to measure each time")
	flag.StringVar(&o.only, "peers", "", "which, separated by commas, by the beginning of their names (default: all)")
	flag.StringVar(&o.taskgrid, "taskgrid", "../../taskgrid", "the binary to measure; make build makes it")
	flag.StringVar(&o.out, "json", "", "file for all figures")
	flag.StringVar(&o.figure, "svg", "", "file for the chart")
	flag.Parse()
	binary, err := filepath.Abs(o.taskgrid)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(".", "peers-*.tmp") // on the disk that the journals are measured on
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	// PostgreSQL refuses to run as root and is started as another user, who has to get here.
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}

	ctx, grid, err := lab.Open(ctx, lab.Config{Data: folder, Duration: o.duration, Command: func(name string, args ...string) *exec.Cmd {
		c := exec.Command(binary, append(args, "--until-stdin-closes", "--log-level", "error")...)
		c.Stderr = os.Stderr
		return c
	}})
	defer grid.Close()
	if err != nil {
		return lab.Why(ctx, err)
	}
	peers, stop := start(ctx, folder, o.only, grid)
	defer stop()
	report := bench.Report{Began: time.Now(), Rounds: o.rounds, Duration: o.duration.String(), Load: load()}
	report.Phases, err = bench.Rounds(ctx, phases(peers, o.duration), o.rounds, grid.Yardstick, func(what string, done, all int) {
		fmt.Fprintf(os.Stderr, "%3d/%d %s\n", done, all, what)
	})
	if err != nil {
		return lab.Why(ctx, err)
	}
	report.Took = time.Since(report.Began).Round(time.Second).String()
	return write(report, o)
}

// start starts those peers that were asked for and are there, and says on stderr which are not.
func start(ctx context.Context, folder, only string, grid *lab.Lab) (peers []peer, stop func()) {
	for i, p := range []peer{
		&taskgrid{client: grid.Client()},
		&asynqPeer{}, &asynqPeer{always: true},
		&riverPeer{},
		&jetstreamPeer{}, &jetstreamPeer{always: true},
	} {
		wanted := func(begin string) bool { return strings.HasPrefix(p.Name(), begin) }
		if only != "" && !slices.ContainsFunc(strings.Split(only, ","), wanted) {
			continue
		}
		own := filepath.Join(folder, fmt.Sprint(i))
		err := os.Mkdir(own, 0o755)
		if err == nil {
			err = p.Start(ctx, own)
		}
		if err == nil {
			// One task shows that all of it works.
			bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
			err = p.Run(bounded, 1, 1)
			cancel()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", p.Name(), err)
			p.Stop()
			continue
		}
		peers = append(peers, p)
	}
	return peers, func() {
		for _, p := range peers {
			p.Stop()
		}
	}
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return strings.Join(fields[:3], " ")
	}
	return ""
}

func write(report bench.Report, o options) error {
	fmt.Print(table(report))
	if o.out != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.figure != "" {
		return os.WriteFile(o.figure, []byte(chart(report)), 0o644)
	}
	return nil
}
