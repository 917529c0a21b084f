// Package process is what every process of the grid does the same way: its logger, its signals, and how it serves and
// stops.
//
// A process lives under one context, which ends with SIGTERM or Ctrl-C. Everything it runs is a function that returns
// when the context ends; an errgroup waits for all of them, and the first error ends the others.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"taskgrid/internal/bounded"
)

// SameSignal is how long after the first signal another one is taken for the same: `timeout` sends it to the process and
// to its group.
const SameSignal = 500 * time.Millisecond

// SignalContext returns a context that ends with the first SIGTERM or Ctrl-C. A second one ends the process at once.
func SignalContext() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	letGo(ctx, stop)
	return ctx, stop
}

// letGo calls stop when ctx has ended and a repeated signal would be another one.
func letGo(ctx context.Context, stop func()) {
	context.AfterFunc(ctx, func() { time.AfterFunc(SameSignal, stop) })
}

// NewLogger returns a logger that writes to w. Level is debug, info, warn or error; format is text or json.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log-level: %q: must be debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log-format: %q: must be text or json", format)
}

// Server is a gRPC server.
type Server interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// ServeGRPC serves on lis until ctx ends, then lets running calls finish for at most grace, then cuts them off.
func ServeGRPC(ctx context.Context, server Server, lis net.Listener, grace time.Duration) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		timer := time.AfterFunc(grace, server.Stop)
		defer timer.Stop()
		server.GracefulStop()
	})
	err := server.Serve(lis)
	if stop() { // Serve failed before ctx ended
		server.Stop()
		return fmt.Errorf("serve %s: %w", lis.Addr(), err)
	}
	<-stopped
	return nil
}

// maxHTTPConnections bounds the connections of an HTTP server, when the process may have so many files open: else it is an
// eighth of those. It holds the 1,000 readers of events that monitoring lets in.
const maxHTTPConnections = 4096

// ServeHTTP serves on lis until ctx ends, then lets running requests finish for at most grace, then cuts them off.
func ServeHTTP(ctx context.Context, handler http.Handler, lis net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second, // a client that sends its header byte by byte holds a connection no longer
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // an endless answer (SSE) ends with the process
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		bounded, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if err := server.Shutdown(bounded); err != nil {
			server.Close()
		}
	})
	err := server.Serve(bounded.Listen(lis, bounded.Files(maxHTTPConnections*8)/8, nil))
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		server.Close()
		return fmt.Errorf("serve %s: %w", lis.Addr(), err)
	}
	<-stopped
	return nil
}
