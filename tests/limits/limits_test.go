//go:build unix

// Package limits fills a real dispatcher up to its bounds. `make limits` does it in full; other runs take a fiftieth.
package limits

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

func TestMain(m *testing.M) { grid.Main(m) }

// many returns n, or a fiftieth of it unless LIMITS is set.
func many(n int) int {
	if os.Getenv("LIMITS") == "" {
		return n / 50
	}
	return n
}

// start starts a grid that knows a type of which no worker lives.
func start(t *testing.T, typ string, flags ...string) (g *grid.Grid, disp *grid.Process) {
	g = grid.New(t)
	g.LogLevel = "info"
	g.Nameservice()
	disp = g.Dispatcher(flags...)
	worker := g.Worker("first", typ)
	g.Connected("first")
	worker.Kill()
	return g, disp
}

// fill submits n tasks and checks that each got an id of its own.
func fill(t *testing.T, c *client.Client, typ string, n int, payload func(i int) string) (ids []uint64) {
	t.Helper()
	const batch = 50_000
	began := time.Now()
	seen := make(map[uint64]bool, n)
	for begin := 0; begin < n; begin += batch {
		specs := make([]*pb.TaskSpec, min(batch, n-begin))
		for i := range specs {
			specs[i] = &pb.TaskSpec{Type: typ, Payload: payload(begin + i)}
		}
		for i, s := range c.SubmitMany(t.Context(), specs) {
			if s.Err != nil || seen[s.ID] {
				t.Fatalf("task %d of %d: id %d, error %v", begin+i, n, s.ID, s.Err)
			}
			seen[s.ID] = true
			ids = append(ids, s.ID)
		}
	}
	t.Logf("%d tasks submitted in %v", n, time.Since(began).Round(time.Millisecond))
	return ids
}

// refused checks that one more task is refused, in words.
func refused(t *testing.T, c *client.Client, typ, payload, want string) {
	t.Helper()
	_, err := c.Submit(t.Context(), &pb.TaskSpec{Type: typ, Payload: payload})
	var no *client.RefusedError
	if !errors.As(err, &no) || no.Code != codes.ResourceExhausted || !strings.Contains(err.Error(), want) {
		t.Errorf("one more: got %v, want RESOURCE_EXHAUSTED and %q", err, want)
	}
}

// await waits until the counts of the dispatcher are as they should be, and returns how long that took.
func await(t *testing.T, g *grid.Grid, what string, ok func(*pb.TaskCounts) bool) time.Duration {
	t.Helper()
	c := g.Direct()
	began := time.Now()
	for {
		st, err := c.Status(g.Context())
		if err == nil && ok(st.Tasks) {
			return time.Since(began)
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%s: not after 5 minutes: %v, %v", what, st.GetTasks(), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// peak returns the largest memory that a process had, in bytes; 0 where /proc does not tell.
func peak(p *grid.Process) (bytes int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); found != nil {
		fmt.Sscan(string(found[1]), &bytes)
	}
	return bytes << 10
}

func TestAMillionTasksWaitAndOneMoreIsRefused(t *testing.T) {
	n := many(1_000_000)
	g, disp := start(t, "reverse", "--max-queued", fmt.Sprint(n))
	c := g.Direct()
	ids := fill(t, c, "reverse", n, func(i int) string { return fmt.Sprintf("payload of 32 bytes, %012d", i) })
	refused(t, c, "reverse", "x", fmt.Sprintf("queue full: %d tasks wait or run, at most %d may", n, n))
	t.Logf("memory at its peak: %d MB, %d bytes a task", peak(disp)>>20, peak(disp)/n)

	disp.Kill()
	disp.Start()
	took := await(t, g, "all are there after a restart", func(c *pb.TaskCounts) bool { return c.Queued == uint64(n) && c.Submitted == uint64(n) })
	t.Logf("killed and there again with all of them after %v", took.Round(time.Millisecond))
	refused(t, c, "reverse", "x", "queue full")
	if _, err := c.Cancel(g.Context(), "room", ids[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(g.Context(), &pb.TaskSpec{Type: "reverse", Payload: "x"}); err != nil {
		t.Errorf("one was cancelled, and there is no room for another: %v", err)
	}
}

func TestTenThousandOfTheLongestPayloadWaitAndOneMoreIsRefused(t *testing.T) {
	const size = 64 << 10
	n := many(10_000)
	g, disp := start(t, "hash", "--max-queued-bytes", fmt.Sprint(n*size), "--keep-bytes", fmt.Sprint(2*n*size))
	c := g.Direct()
	payload := func(i int) string { return fmt.Sprintf("%06d", i) + strings.Repeat("x", size-6) }
	ids := fill(t, c, "hash", n, payload)
	refused(t, c, "hash", payload(0), fmt.Sprintf("queue full: payloads of %d bytes wait or run", n*size))
	g.Worker("second", "hash")
	took := await(t, g, "all are done", func(c *pb.TaskCounts) bool { return c.Completed == uint64(n) })
	t.Logf("done %v after a worker came; memory at its peak: %d MB for %d MB of payload", took.Round(time.Millisecond), peak(disp)>>20, n*size>>20)
	for _, i := range []int{0, n / 2, n - 1} {
		task, err := c.Get(g.Context(), ids[i])
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(payload(i)))); err != nil || task.GetResult() != want {
			t.Errorf("task %d: got %q, %v; want %q", ids[i], task.GetResult(), err, want)
		}
	}
}

// TestAClientThatSubmitsAndNeverReadsIsStoppedAndDelaysNobody talks to the real process, whose sockets have buffers of
// their own.
func TestAClientThatSubmitsAndNeverReadsIsStoppedAndDelaysNobody(t *testing.T) {
	g := grid.New(t)
	g.LogLevel = "info"
	g.Nameservice()
	g.Dispatcher()
	g.Worker("w1", "reverse")
	g.Connected("w1")
	conn, err := rpc.Dial("passthrough:///"+g.Disp, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := pb.NewDispatcherClient(conn).RunTasks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan int, 1_000_000)
	go func() {
		defer close(sent)
		message := &pb.RunTasksRequest{}
		for range 100 {
			message.Tasks = append(message.Tasks, &pb.RunTask{Spec: &pb.TaskSpec{Type: "reverse", Payload: strings.Repeat("x", 1000)}})
		}
		for n := 100; stream.Send(message) == nil; n += 100 {
			sent <- n
		}
	}()
	last := 0
	for stopped := false; !stopped; {
		select {
		case last = <-sent:
			if last > 500_000 {
				t.Fatalf("%d tasks were taken from a client that reads nothing", last)
			}
		case <-time.After(2 * time.Second): // nothing moves any more
			stopped = true
		}
	}
	t.Logf("stopped after %d tasks", last)
	c := g.Direct()
	for range 20 {
		began := time.Now()
		if task, err := c.Run(g.Context(), &pb.TaskSpec{Type: "reverse", Payload: "hello"}); err != nil || task.GetResult() != "olleh" {
			t.Fatalf("another client: got %v, %v", task, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("another client waited %v", took)
		}
	}
}
