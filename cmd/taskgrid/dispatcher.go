package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"taskgrid/dispatcher"
	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// dispatcherGrace is how long calls may still run after SIGTERM. Callers who wait for tasks are cut off then; their
// library comes back.
const dispatcherGrace = time.Second

// joinAuto is the value of --join that lets the name service tell where the cluster is.
const joinAuto = "auto"

// dispatcherFlags are the flags of `taskgrid dispatcher` that are not in its Config.
type dispatcherFlags struct {
	listen, advertise, strategy string
	peers, join                 string
	metrics, admin              string
	cfg                         dispatcher.Config
}

func newDispatcherCommand() *cobra.Command {
	f := dispatcherFlags{cfg: dispatcher.DefaultConfig()}
	cfg := &f.cfg
	cmd := &cobra.Command{
		Use:   "dispatcher",
		Short: "Run the dispatcher: keeps the tasks, hands them to workers, records what becomes of them",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && f.join == joinAuto { // --join may stand alone, so that nothing after a blank belongs to it
				return fmt.Errorf("%q: dispatcher takes no arguments; where to join is said with an equals sign: --join=%s", args[0], args[0])
			}
			return arguments(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", ":50052", "where to serve gRPC, host:port")
	flags.StringVar(&f.advertise, "advertise", "", "host:port under which clients reach this dispatcher; empty: found by the route to the name service")
	flags.StringVar(&cfg.NameServices, "nameservice", discovery.DefaultNameServices, "the name services, host:port separated by commas; a name stands for all its addresses")
	flags.StringVar(&cfg.Journal.ID, "id", "d1", "name of this dispatcher, for ever the same for one data directory")
	flags.StringVar(&cfg.Journal.Directory, "data", "./taskgrid-data/dispatcher", "directory of the journal; its disk needs 20 MB free to begin with, as files are laid out 16 MiB at a time")
	flags.StringVar(&f.peers, "peers", "", "begin a cluster of several dispatchers: id=host:port of each one's raft port, separated by commas, the same list on each; counts at the first start only")
	flags.StringVar(&f.join, "join", "", "enter a cluster that runs already: auto (the name service tells where it is), or host:port of any of its dispatchers")
	flags.Lookup("join").NoOptDefVal = joinAuto
	flags.StringVar(&cfg.Journal.RaftAddress, "raft-address", "", "host:port at which the other dispatchers reach this one's raft port; empty: what --peers says of it")
	flags.StringVar(&cfg.Journal.RaftListen, "raft-listen", "", "where to wait for the other dispatchers, host:port; empty: at --raft-address, on all interfaces if that is a name")
	flags.DurationVar(&cfg.Journal.ElectionTimeout, "election-timeout", 0, "how long the leader may be silent before another is elected, which takes once to twice as long; 0: 300ms among several dispatchers, 50ms alone")
	flags.StringVar(&f.strategy, "strategy", cfg.Strategy.String(), "how a worker is chosen: least-loaded, round-robin or random")
	flags.Uint32Var(&cfg.MaxAttempts, "max-attempts", cfg.MaxAttempts, "how many attempts may fail, for tasks that do not say")
	flags.DurationVar(&cfg.AttemptTimeout, "attempt-timeout", cfg.AttemptTimeout, "how long an attempt may take, for tasks that do not say")
	flags.IntVar(&cfg.MaxPayload, "max-payload", cfg.MaxPayload, "longest payload, and longest result, in bytes")
	flags.DurationVar(&cfg.RetryInitial, "retry-initial", cfg.RetryInitial, "pause before the first retry; the next ones double, all of them vary by half at random")
	flags.DurationVar(&cfg.RetryMax, "retry-max", cfg.RetryMax, "longest pause before a retry, before it is varied")
	flags.IntVar(&cfg.BreakerFaults, "breaker-faults", cfg.BreakerFaults, "faults of a worker in a row that open its circuit breaker")
	flags.DurationVar(&cfg.BreakerPause, "breaker-pause", cfg.BreakerPause, "how long an open breaker waits before it lets a probe through")
	flags.DurationVar(&cfg.AdoptGrace, "adopt-grace", cfg.AdoptGrace, "after a restart, how long workers may take to come back with what they run")
	flags.IntVar(&cfg.MaxLive, "max-queued", cfg.MaxLive, "how many tasks may wait or run at the same time; more are refused")
	flags.Int64Var(&cfg.MaxLiveBytes, "max-queued-bytes", cfg.MaxLiveBytes, "how many bytes their payloads may have together")
	flags.IntVar(&cfg.KeepCount, "keep-count", cfg.KeepCount, "how many finished tasks are kept")
	flags.DurationVar(&cfg.KeepAge, "keep-age", cfg.KeepAge, "how long a finished task is kept")
	flags.Int64Var(&cfg.KeepBytes, "keep-bytes", cfg.KeepBytes, "how many bytes the texts of finished tasks may have together")
	flags.IntVar(&cfg.KeepEvents, "keep-events", cfg.KeepEvents, "how many events are kept")
	flags.StringVar(&f.metrics, "metrics-address", "127.0.0.1:0", "where to serve Prometheus metrics, host:port; empty: nowhere")
	flags.StringVar(&f.admin, "admin-address", "", "where to serve Go profiles, host:port on the loopback interface; empty: nowhere")
	addTokenFlags(cmd)
	return serves(cmd, rpc.Dispatcher, func([]string) error { return f.complete() },
		func(ctx context.Context, secure security, log *slog.Logger) error {
			err := runDispatcher(ctx, f, secure, log)
			if setup := new(journal.SetupError); errors.As(err, setup) {
				return exitError{exitUsage, err}
			}
			return err
		})
}

// complete reads the flags that are words into the Config, and checks it. The error names flag, value and rule.
func (f *dispatcherFlags) complete() (err error) {
	cfg := &f.cfg
	if cfg.Strategy, err = core.ParseStrategy(f.strategy); err != nil {
		return fmt.Errorf("strategy: %w", err)
	}
	if cfg.Journal.Peers, err = journal.ParsePeers(f.peers); err != nil {
		return err
	}
	cfg.Journal.Join = f.join != ""
	if cfg.Journal.Join && f.join != joinAuto {
		cfg.JoinAt = f.join
		if err := addressOf("join", f.join); err != nil {
			return err
		}
	}
	return cfg.Check()
}

// runDispatcher serves until ctx ends, or until the journal cannot be written any more.
func runDispatcher(ctx context.Context, f dispatcherFlags, secure security, log *slog.Logger) (err error) {
	if f.cfg.Journal.Join || f.cfg.Journal.RaftAddress != "" || len(f.cfg.Journal.Peers) > 0 {
		if f.cfg.Journal.Secure, err = secure.raft(); err != nil {
			return exitError{exitUsage, err}
		}
	}
	metrics := process.NewMetrics()
	lis, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer lis.Close()
	address := discovery.NewOwn(func() (string, error) {
		return discovery.OwnAddress(f.advertise, lis.Addr(), strings.Split(f.cfg.NameServices, ","))
	})
	f.cfg.Version, f.cfg.Logger, f.cfg.Registerer = version, log, metrics
	f.cfg.Dial = func(role rpc.Role, address string) (*grpc.ClientConn, error) {
		return rpc.Dial(address, "dispatcher", secure.dial(rpc.To(role))...)
	}
	f.cfg.Service = address.Known
	f.cfg.DialOptions = secure.dial()
	d, err := dispatcher.New(f.cfg)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := d.Close(); err == nil {
			err = closeErr
		}
	}()
	server, health := rpc.NewServer(secure.serve()...)
	pb.RegisterDispatcherServer(server, dispatcher.NewServer(d))
	pb.RegisterRaftServiceServer(server, dispatcher.NewRaftServer(d))
	log.Info("listening", "for", "listen", "address", lis.Addr().String())

	group, ctx := errgroup.WithContext(d.HandOver(ctx))
	group.Go(func() error { return d.Run(ctx) })
	group.Go(func() error { return process.ServeGRPC(ctx, server, lis, dispatcherGrace) })
	group.Go(func() error { return d.ReportHealth(ctx, health) })
	group.Go(func() error {
		return discovery.Announce(ctx, f.cfg.NameServices, f.cfg.Journal.ID, address.Ask, d.Leading, log, secure.dial()...)
	})
	group.Go(func() error { return process.ServeMetrics(ctx, f.metrics, metrics, log) })
	group.Go(func() error { return process.ServeAdmin(ctx, f.admin, log) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}
