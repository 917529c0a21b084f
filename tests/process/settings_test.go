//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/client"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestFlagsOfTheNameServicesTimes pauses a worker and reads the times of its states.
func TestFlagsOfTheNameServicesTimes(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice("--heartbeat-interval", "200ms", "--unhealthy-after", "800ms", "--offline-after", "2s", "--forget-after", "3s")
	g.Dispatcher()
	worker := g.Worker("hash-1", "hash")
	g.Connected("hash-1")
	c := g.Client()
	conn, err := rpc.Dial(g.NS, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var odd []string
	for range 3 { // a machine that stands still for two seconds is late
		if odd = statesOfPaused(t, g, c, conn, worker); len(odd) == 0 {
			return
		}
	}
	t.Errorf("three times, and now: %v", odd)
}

// statesOfPaused pauses the worker until it is forgotten, and returns which of its states came too early or too late.
func statesOfPaused(t *testing.T, g *grid.Grid, c *client.Client, conn *grpc.ClientConn, worker *grid.Process) (odd []string) {
	t.Helper()
	worker.Pause()
	paused := time.Now()
	last := paused // when it was heard last; on a busy machine, long before
	for event, err := range c.Events(g.Context(), &pb.WatchEventsRequest{}) {
		if err != nil {
			t.Fatal(err)
		}
		w := event.GetWorker()
		if w.GetAspect() != "state" || event.Time.AsTime().Before(paused) || w.To == "ACTIVE" {
			continue
		}
		all, err := pb.NewNameServiceClient(conn).LookupWorkers(g.Context(), &pb.LookupWorkersRequest{AllStates: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, known := range all.Workers {
			last = known.LastHeartbeat.AsTime()
		}
		after := event.Time.AsTime().Sub(last)
		want := map[string]time.Duration{"UNHEALTHY": 800 * time.Millisecond, "OFFLINE": 2 * time.Second, "": 3 * time.Second}[w.To]
		usual := map[string]time.Duration{"UNHEALTHY": 3 * time.Second, "OFFLINE": 10 * time.Second, "": time.Minute}[w.To] // without the flag
		if after < want-100*time.Millisecond || after >= usual {
			odd = append(odd, fmt.Sprintf("%q after %v, want about %v", w.To, after, want))
		}
		if w.To == "" {
			break
		}
	}
	worker.Resume()
	g.Connected("hash-1") // it is told that it is forgotten, and registers again
	return odd
}

// TestFlagsThatBoundTheNameService registers one worker more than there may be.
func TestFlagsThatBoundTheNameService(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice("--max-workers", "1", "--max-watchers", "1")
	g.Dispatcher()
	g.Worker("hash-1", "hash")
	g.Connected("hash-1")
	second := g.Worker("hash-2", "hash")
	g.Eventually("--max-workers 1 keeps the second out", func(context.Context) error {
		if !strings.Contains(second.Log(), "table is full: 1 workers") {
			return errors.New("its log does not say so")
		}
		return nil
	})
	conn, err := rpc.Dial(g.NS, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch, err := pb.NewNameServiceClient(conn).WatchWorkers(t.Context(), &pb.WatchWorkersRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("--max-watchers 1, a second watch beside the dispatcher's: %v, want ResourceExhausted", err)
	}
}

// TestFlagsOfTheWorker looks at what the name service and the page learn of it.
func TestFlagsOfTheWorker(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Monitoring()
	address := grid.FreePorts(t, 1)[0]
	g.Worker("w-7", "wait,hash", "--capacity", "3", "--labels", "room=5", "--advertise", address, "--max-payload", "10", "--listen", address)
	g.Connected("w-7")
	g.Eventually("/workers tells what the flags said", func(ctx context.Context) error {
		body, err := get(ctx, "http://"+g.HTTP+"/workers")
		if err != nil {
			return err
		}
		for _, want := range []string{`"w-7"`, `"capacity":3`, `"room":"5"`, address} {
			if !strings.Contains(body, want) {
				return fmt.Errorf("%s is not in %s", want, body)
			}
		}
		return nil
	})
	task, err := g.Client().Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"})
	if err != nil || task.State != pb.TaskState_TASK_STATE_FAILED || !strings.Contains(task.Error, "10") {
		t.Errorf("--max-payload 10, a result of 64 bytes: %v %q, %v, want FAILED naming the bound", task.GetState(), task.GetError(), err)
	}
}

// TestUnknownSettingsAreRefusedInWords misspells a flag and a variable.
func TestUnknownSettingsAreRefusedInWords(t *testing.T) {
	g := grid.New(t)
	if _, stderr, code := g.Run("dispatcher", "--keep-cuont", "3"); code != 2 || !strings.Contains(stderr, "--keep-cuont") {
		t.Errorf("an unknown flag: exit code %d, %q, want 2 and its name", code, stderr)
	}
	t.Setenv("TASKGRID_KEEP_CUONT", "3")
	if _, stderr, code := g.Run("version"); code != 2 || !strings.Contains(stderr, "TASKGRID_KEEP_CUONT") || !strings.Contains(stderr, "TASKGRID_KEEP_COUNT") {
		t.Errorf("an unknown variable: exit code %d, %q, want 2, its name and the nearest", code, stderr)
	}
}

// TestAVariableSetsItsFlag sets a bound by its variable, and overrides it by the flag.
func TestAVariableSetsItsFlag(t *testing.T) {
	g := grid.New(t)
	t.Setenv("TASKGRID_STRATEGY", "nonsense")
	if _, stderr, code := g.Run("dispatcher", "--data", t.TempDir()); code != 2 || !strings.Contains(stderr, "nonsense") {
		t.Errorf("TASKGRID_STRATEGY=nonsense: exit code %d, %q, want 2 and the value", code, stderr)
	}
	if _, stderr, code := g.Run("dispatcher", "--strategy", "silly", "--data", t.TempDir()); code != 2 || !strings.Contains(stderr, "silly") {
		t.Errorf("--strategy silly over TASKGRID_STRATEGY: exit code %d, %q, want 2 and the flag's value", code, stderr)
	}
}
