package main

import (
	"fmt"
	"net"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"taskgrid/bench/bound"
	"taskgrid/bench/drive"
	"taskgrid/internal/process"
	"taskgrid/workers"
)

// newBenchHelpers returns the processes that bench starts beside those of a grid.
func newBenchHelpers() []*cobra.Command {
	return []*cobra.Command{newBenchEchoCommand(), newBenchBoundCommand(), newBenchWorkersCommand()}
}

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

func newBenchBoundCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "bench-bound ADDRESS NAMESERVICE FOLDER",
		Short:  "Serve the naive dispatcher that bench compares with",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			ctx, stop := process.SignalContext()
			defer stop()
			lis, err := net.Listen("tcp", args[0])
			if err == nil {
				err = bound.Serve(ctx, lis, args[1], args[2])
			}
			if err != nil {
				return exitError{exitFailed, err}
			}
			return nil
		},
	}
}

func newBenchWorkersCommand() *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:    "bench-workers TYPE COUNT",
		Short:  "Run many workers of a type in one process, each with a listener, a stream and leases of its own",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			count, err := strconv.Atoi(args[1])
			if err != nil || count < 1 {
				return exitError{exitUsage, fmt.Errorf("count: %q: must be a whole number from 1 on", args[1])}
			}
			return runBenchWorkers(cmd, f, args[0], count)
		},
	}
	f.addFlags(cmd)
	return cmd
}

// runBenchWorkers runs them until SIGTERM.
func runBenchWorkers(cmd *cobra.Command, f workerFlags, typ string, count int) error {
	log, err := newLogger(cmd)
	if err != nil {
		return err
	}
	ctx, stop := process.SignalContext()
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	for i := range count {
		f.id = fmt.Sprintf("%s-%d", typ, i+1)
		cfg, err := f.config(typ)
		if err != nil {
			return exitError{exitUsage, err}
		}
		if cfg.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return exitError{exitFailed, fmt.Errorf("listen: %w", err)}
		}
		cfg.Log, cfg.Metrics = log, prometheus.NewRegistry()
		worker := workers.New(cfg)
		group.Go(func() error { return worker.Run(ctx) })
	}
	if err := group.Wait(); err != nil {
		return exitError{exitFailed, err}
	}
	return nil
}
