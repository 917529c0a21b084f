//go:build unix

// Command repeat runs all tests again and again beside a load on every processor, to show that none of them fails when
// nothing is wrong.
//
//	go run ./tests/repeat -runs 200 -for 1h
//
// Each test binary is built once, with the race detector (-race=false: without). What has passed is counted by package and
// kept in a file, so that a run may be interrupted and the count grows over days: it holds for the very binary, and for the
// taskgrid that it starts, and begins at 0 with another one. Of the packages that passed least often, two at a time are run
// (-parallel), or one of them twice. The first failure ends it: its output is kept, and the package's count begins at 0.
//
// The load may be other tests instead of goroutines that compute nothing: -load 0 -parallel 6 gives a machine with two
// processors more to do than they can, and all of it counts.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"taskgrid/tests/grid"
)

func main() {
	runs := flag.Int("runs", 200, "how often each package is to pass")
	most := flag.Duration("for", 0, "stop after so long; 0: when all have passed so often")
	load := flag.Int("load", runtime.NumCPU(), "how many goroutines do nothing but keep a processor busy")
	race := flag.Bool("race", true, "with the race detector; what has passed without it is counted by itself")
	parallel := flag.Int("parallel", 2, "so many packages at a time")
	dir := flag.String("dir", "", "where to keep binaries, counts and the output of what failed (default: taskgrid-repeat in the user's cache)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *most > 0 {
		ctx, stop = context.WithTimeout(ctx, *most)
		defer stop()
	}
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	if err := repeat(ctx, *dir, *race, *runs, *load, *parallel, patterns); err != nil {
		fmt.Fprintln(os.Stderr, "repeat:", err)
		os.Exit(1)
	}
}

func repeat(ctx context.Context, dir string, race bool, runs, load, parallel int, patterns []string) error {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		dir = filepath.Join(cache, "taskgrid-repeat")
	}
	if !race {
		dir = filepath.Join(dir, "without-race")
	}
	builds := filepath.Join(dir, "builds") // what was built there before may be of other sources
	if err := errors.Join(os.RemoveAll(builds), os.MkdirAll(builds, 0o755), os.Setenv(grid.Builds, builds)); err != nil {
		return err
	}
	tests, err := build(ctx, dir, builds, race, patterns)
	if err != nil {
		return err
	}
	counts, err := openCounts(filepath.Join(dir, "counts.json"), tests)
	if err != nil {
		return err
	}
	fmt.Printf("%d packages; each has passed at least %d times\n", len(tests), counts.least())

	ctx, cancel := context.WithCancelCause(ctx)
	var busy, running sync.WaitGroup
	for range load {
		busy.Go(func() {
			for ctx.Err() == nil {
			}
		})
	}
	began := time.Now()
	for range parallel {
		running.Go(func() {
			for t := counts.next(runs); t != nil && ctx.Err() == nil; t = counts.next(runs) {
				cost, err := t.run(ctx, dir)
				if ctx.Err() != nil { // whatever it says, it was not let run to its end
					return
				}
				if err := errors.Join(err, counts.ran(t, err == nil, cost)); err != nil {
					cancel(err)
				}
			}
		})
	}
	running.Wait()
	cancel(nil)
	busy.Wait()
	counts.print(os.Stdout)
	fmt.Printf("%d full runs of %d packages without a failure, of %d; this time %v\n", counts.least(), len(tests), runs, time.Since(began).Round(time.Second))
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// test is the test binary of a package.
type test struct {
	pkg    string
	dir    string // of its sources, where it is run
	binary string
	key    string // says which binary it is, and which taskgrid it starts
}

// cost is what one run of a package took.
type cost struct {
	took      time.Duration
	processor time.Duration // of the tests and the processes that they waited for
}

// patience bounds one run of a package, as `make test` does.
const patience = "20m"

// run runs the tests once. The error is nil when they passed.
func (t *test) run(ctx context.Context, dir string) (c cost, err error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, t.binary, "-test.paniconexit0", "-test.timeout="+patience)
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with the processes that it started
	cmd.WaitDelay = time.Second
	began := time.Now()
	err = cmd.Run()
	c.took = time.Since(began)
	if cmd.ProcessState != nil {
		c.processor = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err == nil || ctx.Err() != nil {
		return c, err
	}
	log := filepath.Join(dir, strings.ReplaceAll(t.pkg, "/", "_")+time.Now().Format("-20060102-150405.log"))
	if writeErr := os.WriteFile(log, out.Bytes(), 0o644); writeErr != nil {
		return c, writeErr
	}
	return c, fmt.Errorf("%s failed after %v (%w), and said, at the end of %s:\n%s", t.pkg, c.took.Round(time.Millisecond), err, log, tail(out.Bytes()))
}

// tail returns the last lines of an output.
func tail(out []byte) []byte {
	const most = 8 << 10
	return out[max(0, len(out)-most):]
}
