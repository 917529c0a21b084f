package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/drive"
)

// peer is a queue, or TaskGrid, with server and worker.
type peer interface {
	Name() string
	// Start starts its processes; the folder is for their data. The error says what is missing.
	Start(ctx context.Context, folder string) error
	// Run runs n tasks, at most inFlight of them at the same time, and returns when it knows all results.
	Run(ctx context.Context, n, inFlight int) error
	// Stop ends the processes, also after a failed Start.
	Stop()
}

const (
	closed  = 64     // in flight in a closed loop
	backlog = 16_384 // in flight where all is submitted as fast as the peer takes it
)

// phases returns what is measured of each peer: a closed loop and a backlog.
func phases(peers []peer, duration time.Duration) []bench.Phase {
	var phases []bench.Phase
	for _, p := range peers {
		for what, inFlight := range map[string]int{"closed loop": closed, "backlog": backlog} {
			phases = append(phases, bench.Phase{Name: p.Name() + ", " + what, What: fmt.Sprintf("%d in flight", inFlight), Run: timed(p, inFlight, duration)})
		}
	}
	slices.SortStableFunc(phases, func(a, b bench.Phase) int { // first all closed loops
		if a.What == b.What {
			return 0
		}
		return map[bool]int{true: -1, false: 1}[a.What == fmt.Sprintf("%d in flight", closed)]
	})
	return phases
}

// timed returns what measures a peer: as many tasks as it did in about the duration the last time.
func timed(p peer, inFlight int, duration time.Duration) func(context.Context) (bench.Figures, error) {
	const fewest, most = 100, 200_000
	n := fewest
	return func(ctx context.Context) (bench.Figures, error) {
		for {
			began := time.Now()
			if err := p.Run(ctx, n, inFlight); err != nil {
				return nil, err
			}
			took := time.Since(began)
			done := n
			n = int(min(most, max(fewest, float64(n)*duration.Seconds()/took.Seconds())))
			if took > duration/3 || done >= most || done == n {
				return bench.Figures{bench.Rate: float64(done) / took.Seconds(), "tasks": float64(done)}, nil
			}
			n = min(n, done*20) // what was far too short to go by was no measure either
		}
	}
}

// loop submits n tasks, at most inFlight at the same time. Submit submits k of them and is called by so many goroutines,
// with up to batch tasks; each result that arrives comes in over got, as a number of them.
func loop(ctx context.Context, n, inFlight, submitters, batch int, submit func(ctx context.Context, k int) error, got <-chan int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	free := make(chan struct{}, inFlight)
	for range inFlight {
		free <- struct{}{}
	}
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, submitters)
	var submitting sync.WaitGroup
	defer submitting.Wait()
	defer cancel()
	for range submitters {
		submitting.Go(func() {
			for {
				k := take(ctx, free, batch)
				if rest := int(left.Add(-int64(k))); rest < 0 {
					k = max(0, k+rest)
				}
				if k == 0 {
					return
				}
				if err := submit(ctx, k); err != nil {
					errs <- fmt.Errorf("submit: %w", err)
					return
				}
			}
		})
	}
	for done := 0; done < n; {
		select {
		case k := <-got:
			done += k
			for range k {
				select {
				case free <- struct{}{}:
				default: // a result of a task that was run twice
				}
			}
		case err := <-errs:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d of %d results: %w", done, n, ctx.Err())
		}
	}
	return nil
}

// take waits for a free place and takes those beside it too, up to batch.
func take(ctx context.Context, free <-chan struct{}, batch int) int {
	select {
	case <-free:
	case <-ctx.Done():
		return 0
	}
	for k := 1; ; k++ {
		if k == batch {
			return k
		}
		select {
		case <-free:
		default:
			return k
		}
	}
}

// reversed is the work: what the worker of each peer does.
func reversed(text string) string {
	runes := []rune(text)
	slices.Reverse(runes)
	return string(runes)
}

func checked(result string) error {
	if result != drive.Reversed {
		return fmt.Errorf("result %q, want %q", result, drive.Reversed)
	}
	return nil
}

// children are the processes of a peer.
type children struct{ running []*exec.Cmd }

// run starts a process, as another user if uid is not 0.
func (c *children) run(uid uint32, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	if _, err := cmd.StdinPipe(); err != nil { // ours end when it closes
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.running = append(c.running, cmd)
	return nil
}

// self starts this program as a worker or server of a peer.
func (c *children) self(args ...string) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	return c.run(0, executable, append([]string{"serve"}, args...)...)
}

// stop ends the processes, the last first.
func (c *children) stop() {
	for _, cmd := range slices.Backward(c.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
		killer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // however it ends
		killer.Stop()
	}
	c.running = nil
}

// serve is a process that self started; it ends when the starter is gone.
func serve(ctx context.Context, what string, args []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	switch what {
	case "asynq":
		return serveAsynq(ctx, args[0])
	case "river":
		return serveRiver(ctx, args[0])
	case "nats":
		return serveNATS(ctx, args[0], args[1], args[2] == "always")
	case "jetstream":
		return serveJetStream(ctx, args[0])
	}
	return fmt.Errorf("nothing to serve is called %q", what)
}

// freePort returns a port of the loopback interface at which nothing listens.
func freePort() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer lis.Close()
	return strconv.Itoa(lis.Addr().(*net.TCPAddr).Port), nil
}

// listening waits until something listens at the address.
func listening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var dialer net.Dialer
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("nothing listens at %s: %w", address, err)
		}
	}
}
