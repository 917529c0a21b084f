package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"taskgrid/internal/process"
	"taskgrid/internal/settings"
)

// upOptions are the flags of `taskgrid up`.
type upOptions struct {
	data            string
	ephemeral       bool
	bind            string
	nameservicePort int
	dispatcherPort  int
	monitoringPort  int
	httpPort        int
	workers         map[string]int
	client          bool
	grace           time.Duration
	verbose         bool
	output          string
}

func newUpCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the whole grid on this machine, without Docker",
		Long: `Starts name service, dispatcher, one worker per type and monitoring as real child processes of this
program, and says where to look when all of them are ready. A process that dies is started again, so kill -9 as you
like; one that ends by itself five times in a row, each time within 10 s of its start, ends everything. Ctrl-C ends
all: the workers first, which finish what they run; a second Ctrl-C waits for nobody.

A port that is taken is replaced by a free one. The flags of a single process can be given as environment variables,
such as ` + "`TASKGRID_ATTEMPT_TIMEOUT=5s taskgrid up`" + `; 'taskgrid help dispatcher' lists them.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runUp(cmd, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.data, "data", "./taskgrid-data", "folder for what outlives the processes: the dispatcher's journal")
	flags.BoolVar(&o.ephemeral, "ephemeral", false, "keep the data in a temporary folder, which is removed at the end")
	flags.StringVar(&o.bind, "bind", "127.0.0.1", "IP address to listen on; 0.0.0.0 lets other machines in")
	flags.IntVar(&o.nameservicePort, "nameservice-port", 50051, "port of the name service; 0 is any free one")
	flags.IntVar(&o.dispatcherPort, "dispatcher-port", 50052, "port of the dispatcher; 0 is any free one")
	flags.IntVar(&o.monitoringPort, "monitoring-port", 50053, "gRPC port of monitoring; 0 is any free one")
	flags.IntVar(&o.httpPort, "http-port", 8080, "port of the page and the REST interface; 0 is any free one")
	flags.StringToIntVar(&o.workers, "workers", nil, "worker processes per type, such as hash=3,sum=2,wait=0; a type that is not named gets one")
	flags.BoolVar(&o.client, "client", false, "start the random test client as well (taskgrid load)")
	flags.DurationVar(&o.grace, "grace", 15*time.Second, "how long a process may take to end before it is killed; longer than a worker's --drain-grace; 0: as long as it likes")
	flags.BoolVar(&o.verbose, "verbose", false, "show what the processes log at level info, not only warnings and errors")
	flags.StringVarP(&o.output, "output", "o", "table", "how to say where to look: table, or one line of json (jsonl is the same)")
	return cmd
}

// runUp runs the grid until a signal comes or a process says that it was started wrongly.
func runUp(cmd *cobra.Command, o upOptions) error {
	for _, flag := range []string{"tls-cert", "tls-key", "tls-ca"} { // better nothing than a grid that is thought to be secure
		if variable := settings.Variable(flag); os.Getenv(variable) != "" {
			return exitError{exitUsage, fmt.Errorf("%s is set, and up starts a grid without TLS: start the processes one by one, each with its own certificate (docs/security.md)", variable)}
		}
	}
	plan, err := newPlan(cmd, o)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if err := checkHandedDown(cmd.Root()); err != nil {
		return exitError{exitUsage, err}
	}
	release, err := plan.openData(o)
	if err != nil {
		return exitError{exitFailed, err}
	}
	defer release()
	if err := plan.choosePorts(os.Stderr); err != nil {
		return exitError{exitFailed, err}
	}
	executable, err := os.Executable()
	if err != nil {
		return exitError{exitFailed, fmt.Errorf("find this program's own file: %w", err)}
	}

	began := time.Now()
	ctx, atOnce, stop := stopSignals(os.Stderr, plan.grace)
	defer stop()
	grid := newSupervisor(executable, plan.children(), plan.grace, os.Stderr)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return grid.run(ctx, atOnce) })
	group.Go(func() error {
		if err := waitReady(ctx, plan, os.Stderr); err != nil {
			return nil // the grid ends; why, the supervisor says
		}
		return plan.describe(cmd.OutOrStdout(), grid.pids(), time.Since(began))
	})
	return group.Wait()
}

// checkHandedDown checks what the processes are going to find in their environment, as far as that shows before they run:
// then one of them says it, and not all at once.
func checkHandedDown(root *cobra.Command) error {
	for _, name := range []string{"nameservice", "dispatcher", "worker", "monitoring"} {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			return err
		}
		if err := settings.FromEnvironment(cmd); err != nil {
			return err
		}
		if _, err := loadToken(cmd); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// stopSignals returns a context that ends with the first SIGTERM or Ctrl-C, which is answered on w, and one that ends with
// the second: then nobody is to be waited for. A third ends this process as usual.
func stopSignals(w io.Writer, grace time.Duration) (ctx, atOnce context.Context, stop func()) {
	ctx, gently := context.WithCancel(context.Background())
	atOnce, hard := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go obey(signals, w, grace, gently, func() { // it ends with stop
		signal.Stop(signals)
		hard()
	})
	return ctx, atOnce, func() {
		signal.Stop(signals)
		close(signals)
		gently()
		hard()
	}
}

// obey calls gently with the first signal, and hard with the next one, unless that is the same once more.
func obey(signals <-chan os.Signal, w io.Writer, grace time.Duration, gently, hard func()) {
	if _, ok := <-signals; !ok {
		return
	}
	first := time.Now()
	most := fmt.Sprintf("at most %v", grace)
	if grace == 0 {
		most = "as long as they take"
	}
	fmt.Fprintf(w, "up: stopping; waiting for running tasks (%s), Ctrl-C again to end at once\n", most)
	gently()
	for range signals {
		if time.Since(first) >= process.SameSignal {
			fmt.Fprintln(w, "up: ending at once; what still ran is done again when the grid is back")
			hard()
			return
		}
	}
}

// openData makes and locks the data folder, and returns what unlocks (and, when ephemeral, removes) it.
func (p *plan) openData(o upOptions) (release func(), err error) {
	p.data = o.data
	remove := func() {}
	if o.ephemeral {
		if p.data, err = os.MkdirTemp("", "taskgrid-"); err != nil {
			return nil, fmt.Errorf("make a temporary folder: %w", err)
		}
		remove = func() { os.RemoveAll(p.data) }
	} else if err := os.MkdirAll(p.data, 0o755); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	unlock, err := lockFolder(p.data)
	if err != nil {
		return nil, err
	}
	return func() { unlock(); remove() }, nil
}

// errInUse is what tryLock answers when another process holds the lock.
var errInUse = errors.New("in use")

// lockFolder makes this process the only `taskgrid up` on a folder. The lock belongs to the process and ends with it,
// however it ends; the file, which says who holds it, stays.
func lockFolder(folder string) (unlock func(), err error) {
	path := filepath.Join(folder, "up.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if err := tryLock(file); err != nil {
		defer file.Close()
		if !errors.Is(err, errInUse) {
			return nil, fmt.Errorf("data: lock %s: %w", path, err)
		}
		pid := "unknown"
		if text, err := io.ReadAll(io.LimitReader(file, 20)); err == nil && len(text) > 0 {
			pid = strings.TrimSpace(string(text))
		}
		return nil, fmt.Errorf("data: %s is in use by another taskgrid up (pid %s): end that one, or give another folder with --data", folder, pid)
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, fmt.Sprintln(os.Getpid()))); err != nil {
		file.Close()
		return nil, fmt.Errorf("data: %w", err)
	}
	return func() { file.Close() }, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
