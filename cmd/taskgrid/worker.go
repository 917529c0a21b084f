package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	"taskgrid/workers"
)

// workerFlags are the flags of `taskgrid worker`.
type workerFlags struct {
	listen, advertise, nameservice, id string
	metrics, admin                     string
	capacity, window, maxPayload       int
	labels                             map[string]string
	drainGrace                         time.Duration
}

func newWorkerCommand() *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:               "worker TYPE[,TYPE…]",
		Short:             "Run a worker for one or more task types: " + strings.Join(workers.Names(), ", "),
		Example:           "  taskgrid worker hash\n  taskgrid worker reverse,upper --capacity 8",
		ValidArgsFunction: completeWorkerTypes,
	}
	f.addFlags(cmd)
	var cfg workers.Config
	return serves(cmd, rpc.Worker,
		func(args []string) (err error) {
			cfg, err = f.config(args[0])
			return err
		},
		func(ctx context.Context, secure security, log *slog.Logger) error {
			cfg.DialOptions, cfg.ServerOptions = secure.dial(), secure.serve()
			return runWorker(ctx, f, cfg, log)
		})
}

// addFlags adds the flags of a worker.
func (f *workerFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", ":0", "where to serve gRPC, host:port; port 0: any free one")
	flags.StringVar(&f.advertise, "advertise", "", "host:port under which the dispatcher reaches this worker; empty: found by the route to the name service")
	flags.StringVar(&f.nameservice, "nameservice", discovery.DefaultNameServices, "the name services, host:port separated by commas; a name stands for all its addresses")
	flags.StringVar(&f.id, "id", "", "name of this worker, unique in the grid; empty: its types and some random letters")
	flags.IntVar(&f.capacity, "capacity", 0, "how many tasks to run at the same time; 0: one per processor, for waiting types 100")
	flags.IntVar(&f.window, "window", 256, "how many more tasks to keep waiting, so that short ones follow without a pause")
	flags.IntVar(&f.maxPayload, "max-payload", 64<<10, "longest result in bytes; a longer one fails its task")
	flags.StringToStringVar(&f.labels, "labels", nil, "words about this worker, key=value separated by commas")
	flags.DurationVar(&f.drainGrace, "drain-grace", 10*time.Second, "how long running tasks may go on after SIGTERM before they are handed back")
	flags.StringVar(&f.metrics, "metrics-address", "127.0.0.1:0", "where to serve Prometheus metrics, host:port; empty: nowhere")
	flags.StringVar(&f.admin, "admin-address", "", "where to serve Go profiles, host:port on the loopback interface; empty: nowhere")
	addTokenFlags(cmd)
}

// runWorker serves until ctx ends and the worker has drained.
func runWorker(ctx context.Context, f workerFlags, cfg workers.Config, log *slog.Logger) error {
	metrics := process.NewMetrics()
	lis, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("listening", "for", "listen", "address", lis.Addr().String(), "worker_id", cfg.ID)
	cfg.Listener, cfg.Log, cfg.Metrics = lis, log, metrics
	worker := workers.New(cfg)

	// Metrics and profiles are there until the worker has drained, not just until SIGTERM.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	group, beside := errgroup.WithContext(beside)
	ctx, drain := context.WithCancel(ctx)
	defer context.AfterFunc(beside, drain)() // if they fail, the worker goes too
	group.Go(func() error {
		defer stop()
		return worker.Run(ctx)
	})
	group.Go(func() error { return process.ServeMetrics(beside, f.metrics, metrics, log) })
	group.Go(func() error { return process.ServeAdmin(beside, f.admin, log) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// config reads the flags. The errors name flag, value and rule.
func (f *workerFlags) config(list string) (workers.Config, error) {
	types := strings.Split(list, ",")
	handlers, capacity, err := workers.Select(types)
	if err != nil {
		return workers.Config{}, err
	}
	if f.capacity < 0 {
		return workers.Config{}, fmt.Errorf("capacity: %d: must not be negative; 0 is one per processor, for waiting types 100", f.capacity)
	}
	if f.capacity != 0 {
		capacity = f.capacity
	}
	if f.id == "" {
		f.id = workers.NewID(types)
	}
	if _, err := discovery.Open(f.nameservice, f.id); err != nil {
		return workers.Config{}, err
	}
	cfg := workers.Config{
		ID:           f.id,
		Handlers:     handlers,
		Capacity:     capacity,
		Window:       f.window,
		Labels:       f.labels,
		Version:      version,
		Advertise:    f.advertise,
		NameServices: strings.Split(strings.ReplaceAll(f.nameservice, " ", ""), ","),
		DrainGrace:   f.drainGrace,
		MaxResult:    f.maxPayload,
	}
	return cfg, cfg.Validate()
}

// completeWorkerTypes offers the types that are not in the list yet, after the last comma of it.
func completeWorkerTypes(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) > 0 {
		return nil, directive
	}
	list := typed[:strings.LastIndex(typed, ",")+1]
	given := strings.Split(list, ",")
	var offers []string
	for _, name := range workers.Names() {
		if !slices.Contains(given, name) {
			offers = append(offers, list+name)
		}
	}
	return offers, directive
}
