package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	"taskgrid/monitoring"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// monitoringGrace is how long requests may still run after SIGTERM. Streams end at once.
	monitoringGrace = 2 * time.Second

	// minCollectInterval keeps a typing error (--interval 1) from asking the grid without a pause.
	minCollectInterval = 100 * time.Millisecond
)

// monitoringFlags are the flags of `taskgrid monitoring`.
type monitoringFlags struct {
	listen, http, metrics, admin string
	nameservice, dispatcher      string
	interval                     time.Duration
}

func newMonitoringCommand() *cobra.Command {
	var f monitoringFlags
	cmd := &cobra.Command{
		Use:   "monitoring",
		Short: "Run monitoring: statistics, REST, Prometheus metrics and a web page",
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", ":50053", "where to serve gRPC, host:port")
	flags.StringVar(&f.http, "http", ":8080", "where to serve REST, Prometheus metrics and the web page, host:port")
	flags.StringVar(&f.metrics, "metrics-address", "127.0.0.1:0", "where to serve Prometheus metrics beside --http, host:port; empty: nowhere")
	flags.StringVar(&f.admin, "admin-address", "", "where to serve Go profiles, host:port on the loopback interface; empty: nowhere")
	flags.StringVar(&f.nameservice, "nameservice", discovery.DefaultNameServices, "where the name services listen, host:port, or several separated by commas, or a DNS name with many addresses")
	flags.StringVar(&f.dispatcher, "dispatcher", "", "where the dispatcher listens, host:port, or several separated by commas (default: the name service tells)")
	flags.DurationVar(&f.interval, "interval", time.Second, "how often to ask each of the others for its status, at least "+minCollectInterval.String())
	return serves(cmd, rpc.Monitoring, func([]string) error { return f.check() },
		func(ctx context.Context, secure security, log *slog.Logger) error {
			return runMonitoring(ctx, f, secure, log)
		})
}

// check says what is wrong with the flags: flag, value and rule.
func (f *monitoringFlags) check() error {
	if f.interval < minCollectInterval {
		return fmt.Errorf("interval: %v: must be at least %v", f.interval, minCollectInterval)
	}
	return nil
}

// runMonitoring serves until ctx ends. Then health says NOT_SERVING, the streams end, and the listeners close.
func runMonitoring(ctx context.Context, f monitoringFlags, secure security, log *slog.Logger) error {
	names, err := discovery.Open(f.nameservice, "monitoring", secure.dial()...)
	if err != nil {
		return exitError{exitUsage, err}
	}
	defer names.Close()
	dispatcher, err := dialDispatcher(f, secure)
	if err != nil {
		return exitError{exitUsage, err}
	}
	defer dispatcher.Close()

	tasks := pb.NewDispatcherClient(dispatcher)
	collector := monitoring.NewCollector(tasks, names, f.interval, log)
	metrics := process.NewMetrics()
	rest := monitoring.NewREST(collector, tasks, monitoring.NewMetrics(metrics, collector), log)
	server, health := rpc.NewServer(secure.serve()...)
	pb.RegisterMonitoringServer(server, monitoring.NewServer(collector))

	grpcLis, err := listenFor("listen", f.listen, log)
	if err != nil {
		return err
	}
	defer grpcLis.Close()
	httpLis, err := listenFor("http", f.http, log)
	if err != nil {
		return err
	}
	defer httpLis.Close()

	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, health.Shutdown)()
	group.Go(func() error { return collector.Run(ctx) })
	group.Go(func() error { return process.ServeGRPC(ctx, server, grpcLis, monitoringGrace) })
	group.Go(func() error { return process.ServeHTTP(ctx, rest.Handler(), httpLis, monitoringGrace) })
	group.Go(func() error { return process.ServeMetrics(ctx, f.metrics, metrics, log) })
	group.Go(func() error { return process.ServeAdmin(ctx, f.admin, log) })
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// dialDispatcher returns a connection to the dispatcher: the one that was given, or else the one that leads, as the name
// services tell. It connects on first use.
func dialDispatcher(f monitoringFlags, secure security) (*grpc.ClientConn, error) {
	where := discovery.Config{Dispatcher: f.dispatcher, Sender: "monitoring", DialOptions: secure.dial()}
	if f.dispatcher == "" {
		where.NameServices = f.nameservice
	}
	finder, err := discovery.NewFinder(where)
	if err != nil {
		return nil, err
	}
	return finder.Dial()
}

// listenFor listens at the address that a flag gave, and says where: with port 0 nobody else knows.
func listenFor(flag, address string, log *slog.Logger) (net.Listener, error) {
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	log.Info("listening", "for", flag, "address", lis.Addr().String())
	return lis, nil
}
