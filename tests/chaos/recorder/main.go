// Command recorder is the worker of the chaos test: the worker runtime and the built-in types as they are, and beside
// them a few types that show what a correct result hides. Each execution is appended to a file before its outcome is
// told, so that the checker knows what was really done.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"taskgrid/internal/process"
	"taskgrid/tests/chaos/record"
	"taskgrid/workers"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := run(log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	id := flag.String("id", "", "name of the worker")
	types := flag.String("types", "", "its task types, separated by commas")
	names := flag.String("nameservice", "", "the name services, host:port separated by commas")
	metrics := flag.String("metrics", "", "where to serve Prometheus metrics, host:port")
	path := flag.String("record", "", "the file that executions are appended to")
	flag.Parse()

	file, err := os.OpenFile(*path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handlers := map[string]workers.Handler{}
	for typ := range strings.SplitSeq(*types, ",") {
		handler, own := special[typ]
		if !own {
			builtin, _, err := workers.Select([]string{typ})
			if err != nil {
				return err
			}
			handler = builtin[typ]
		}
		handlers[typ] = recorded(file, *id, handler)
	}
	reg := process.NewMetrics()
	cfg := workers.Config{ID: *id, Handlers: handlers, Capacity: 20, Window: 64, NameServices: strings.Split(*names, ","),
		Listener: lis, DrainGrace: 2 * time.Second, MaxResult: 64 << 10, Log: log, Metrics: reg}
	if err := cfg.Validate(); err != nil {
		return err
	}
	ctx, stop := process.SignalContext()
	defer stop()
	beside, end := context.WithCancel(context.WithoutCancel(ctx))
	var group errgroup.Group
	group.Go(func() error { return process.ServeMetrics(beside, *metrics, reg, log) })
	group.Go(func() error {
		defer end()
		return workers.New(cfg).Run(ctx)
	})
	return group.Wait()
}

// recorded returns the handler that also writes down what it returns. The line is with the kernel when the handler
// returns: a kill -9 does not lose it.
func recorded(file *os.File, id string, handler workers.Handler) workers.Handler {
	return func(ctx context.Context, payload string) (string, error) {
		result, err := handler(ctx, payload)
		key, _ := workers.AttemptOf(ctx)
		e := record.Execution{At: time.Now(), Worker: id, Task: key.Task, Token: key.Attempt, Result: result, Failed: err != nil}
		line, failed := json.Marshal(e)
		if failed == nil {
			_, failed = file.Write(append(line, '\n'))
		}
		if failed != nil {
			panic(failed) // what cannot be written down must not be told
		}
		return result, err
	}
}

// special are the types beside the built-in ones.
var special = map[string]workers.Handler{"stamp": stamp, "flaky": flaky}

var executions atomic.Uint64

// stamp returns a result that no other execution returns: which one was recorded can be seen from it.
func stamp(context.Context, string) (string, error) {
	return fmt.Sprintf("%d-%d-%d", os.Getpid(), time.Now().UnixNano(), executions.Add(1)), nil
}

// flaky fails two times out of three.
func flaky(ctx context.Context, payload string) (string, error) {
	if n := executions.Add(1); n%3 != 0 {
		return "", errors.New("try again")
	}
	return stamp(ctx, payload)
}
