package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// nameserviceGrace is how long calls may still run after SIGTERM. Watches end at once, and nothing else takes long.
const nameserviceGrace = time.Second

// nameserviceFlags are the flags of `taskgrid nameservice`.
type nameserviceFlags struct {
	listen, metrics, admin string
	options                nameservice.Options
}

func newNameserviceCommand() *cobra.Command {
	var f nameserviceFlags
	cmd := &cobra.Command{
		Use:   "nameservice",
		Short: "Run the name service: which workers live, where, and what they can do",
	}
	f.options.Version = version
	flags, times := cmd.Flags(), &f.options.Times
	flags.StringVar(&f.listen, "listen", ":50051", "where to serve gRPC, host:port")
	flags.StringVar(&f.metrics, "metrics-address", "127.0.0.1:0", "where to serve Prometheus metrics, host:port; empty: nowhere")
	flags.StringVar(&f.admin, "admin-address", "", "where to serve Go profiles, host:port on the loopback interface; empty: nowhere")
	flags.DurationVar(&times.HeartbeatInterval, "heartbeat-interval", time.Second, "how often a worker is to send a heartbeat")
	flags.DurationVar(&times.UnhealthyAfter, "unhealthy-after", 3*time.Second, "a worker that is silent for so long gets nothing new")
	flags.DurationVar(&times.OfflineAfter, "offline-after", 10*time.Second, "what a worker runs that is silent for so long counts as lost")
	flags.DurationVar(&times.ForgetAfter, "forget-after", time.Minute, "a worker that is silent for so long is forgotten")
	flags.IntVar(&f.options.MaxWorkers, "max-workers", 20_000, "how many workers may be registered")
	flags.IntVar(&f.options.MaxWatchers, "max-watchers", 20_000, "how many watches may be open")
	addTokenFlags(cmd)
	return serves(cmd, rpc.NameService,
		func([]string) error { return f.options.Validate() },
		func(ctx context.Context, secure security, log *slog.Logger) error {
			return runNameservice(ctx, f, secure, log)
		})
}

// runNameservice serves until ctx ends. Then health says NOT_SERVING, the watches end, and the listener closes.
func runNameservice(ctx context.Context, f nameserviceFlags, secure security, log *slog.Logger) error {
	if secure.token.Present() {
		f.options.Authorize = secure.token.Require
	}
	service := nameservice.NewServer(f.options, log)
	server, health := rpc.NewServer(secure.serve(nameservice.Codec())...)
	pb.RegisterNameServiceServer(server, service)
	metrics := process.NewMetrics()
	metrics.MustRegister(service.Metrics())

	lis, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("listening", "for", "listen", "address", lis.Addr().String())

	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, health.Shutdown)()
	group.Go(func() error { return service.Run(ctx) })
	group.Go(func() error { return process.ServeGRPC(ctx, server, lis, nameserviceGrace) })
	group.Go(func() error { return process.ServeMetrics(ctx, f.metrics, metrics, log) })
	group.Go(func() error { return process.ServeAdmin(ctx, f.admin, log) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}
