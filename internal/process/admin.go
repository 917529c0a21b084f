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
	if err := CheckAdmin(address); err != nil {
		return fmt.Errorf("admin-address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	return serveAt(ctx, "admin-address", address, mux, log)
}

// CheckAdmin returns an error unless ServeAdmin serves at the address.
func CheckAdmin(address string) error {
	if err := CheckListen(address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q: must be on the loopback interface, such as 127.0.0.1:6060", address)
	}
	return nil
}

// CheckListen returns an error unless the address is one to listen at: host:port, where the host may be empty and the
// port 0.
func CheckListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q: must be host:port, the port 0 to 65535", address)
	}
	return nil
}

func serveAt(ctx context.Context, flag, address string, handler http.Handler, log *slog.Logger) error {
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	log.Info("listening", "for", flag, "address", lis.Addr().String())
	return ServeHTTP(ctx, handler, lis, time.Second)
}
