package process

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewMetrics returns a registry that already tells about the Go runtime and the process.
func NewMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// ServeMetrics serves /metrics at address until ctx ends. "" is off; port 0 is any free one; the log says which.
func ServeMetrics(ctx context.Context, address string, reg *prometheus.Registry, log *slog.Logger) error {
	if address == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	return serveAt(ctx, "metrics-address", address, mux, log)
}

// ServeAdmin serves Go's profiles below /debug/pprof/ at address until ctx ends. "" is off. The address must be on the
// loopback interface: profiles show what is in memory.
func ServeAdmin(ctx context.Context, address string, log *slog.Logger) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("admin-address: %q: must be host:port", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("admin-address: %q: must be on the loopback interface, such as 127.0.0.1:6060", address)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	return serveAt(ctx, "admin-address", address, mux, log)
}

func serveAt(ctx context.Context, flag, address string, handler http.Handler, log *slog.Logger) error {
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	log.Info("listening", "for", flag, "address", lis.Addr().String())
	return ServeHTTP(ctx, handler, lis, time.Second)
}
