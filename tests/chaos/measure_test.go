//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"taskgrid/client"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// field is a grid on which the length of faults is measured: a name service, a dispatcher, two workers for wait and
// reverse, monitoring.
type field struct {
	*grid.Grid
	t                             *testing.T
	c                             *client.Client
	names, dispatcher, monitoring *grid.Process
	workers                       map[string]*grid.Process
}

// trials are the faults, and what somebody sees of each. A trial leaves the grid whole, and returns how long each of
// these took.
var trials = []struct {
	component, fault string
	sees             []string
	most             int // rounds; those that wait for silence take long
	run              func(*field) []time.Duration
}{
	{"worker", "kill -9 in the middle of a task", []string{"the task is RETRYING", "another worker has begun it"}, 100, (*field).workerKilled},
	{"worker", "SIGSTOP in the middle of a task", []string{"the worker is UNHEALTHY", "the task is RETRYING"}, 10, (*field).workerStopped},
	{"worker", "SIGTERM in the middle of a task", []string{"the worker is DRAINING", "after the task's end, the process has ended"}, 100, (*field).workerTerminated},
	{"worker", "the only one was killed, and starts", []string{"a task that waited is done"}, 100, (*field).onlyWorkerBack},
	{"dispatcher", "kill -9, started at once", []string{"a submission is acknowledged", "a new task is done"}, 100, (*field).dispatcherKilled},
	{"dispatcher", "SIGTERM, started at once", []string{"a submission is acknowledged", "a new task is done"}, 100, (*field).dispatcherTerminated},
	{"dispatcher", "goes on after SIGSTOP for 2 s", []string{"a submission is acknowledged", "a new task is done"}, 20, (*field).dispatcherStopped},
	{"name service", "kill -9", []string{"a task is done while it is away"}, 100, (*field).namesKilled},
	{"name service", "starts, empty", []string{"it lists all workers"}, 100, (*field).namesBack},
	{"name service", "SIGSTOP", []string{"a task is done while it is stopped"}, 20, (*field).namesStopped},
	{"monitoring", "kill -9, started at once", []string{"/stats answers, with nothing missing"}, 100, (*field).monitoringKilled},
}

// TestHowLongFaultsTake measures the table of docs/failures.md: `make failures`. With the other tests it runs one round.
func TestHowLongFaultsTake(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	rounds := setting(t, "FAILURES_ROUNDS", 1, strconv.Atoi)
	f := newField(t)
	var table strings.Builder
	for _, trial := range trials {
		n := min(rounds, trial.most)
		took := make([][]time.Duration, len(trial.sees))
		for range n {
			for i, d := range trial.run(f) {
				took[i] = append(took[i], d)
			}
		}
		for i, sees := range trial.sees {
			slices.Sort(took[i])
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %d |\n", trial.component, trial.fault, sees, rounded(rank(took[i], 0.5)), rounded(rank(took[i], 0.99)), n)
		}
	}
	t.Logf("component, fault, what is seen, p50, p99, rounds:\n%s", table.String())
}

// rank returns a percentile of what is sorted: the smallest value that at least q of all do not exceed.
func rank(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

func rounded(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func newField(t *testing.T) *field {
	g := grid.New(t)
	g.LogLevel = "info"
	f := &field{Grid: g, t: t, c: g.Direct(), workers: map[string]*grid.Process{}}
	f.names, f.dispatcher, f.monitoring = g.Nameservice(), g.Dispatcher(), g.Monitoring()
	for _, id := range []string{"w1", "w2"} {
		f.workers[id] = g.Worker(id, "wait,reverse")
	}
	f.whole()
	return f
}

// whole waits until the grid is as in the beginning.
func (f *field) whole() { f.Connected("w1", "w2") }

// submit submits a task and returns its id.
func (f *field) submit(typ, payload string) uint64 {
	f.t.Helper()
	id, err := f.c.Submit(f.Context(), &pb.TaskSpec{Type: typ, Payload: payload})
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// after returns how long after begin the first event came that is the one.
func (f *field) after(begin time.Time, since uint64, is func(*pb.Event) bool) time.Duration {
	f.t.Helper()
	for e, err := range f.c.Events(f.Context(), &pb.WatchEventsRequest{Since: since}) {
		if err != nil {
			f.t.Fatal(err)
		}
		if is(e) {
			return max(0, e.Time.AsTime().Sub(begin))
		}
	}
	f.t.Fatal("the events ended")
	return 0
}

func step(id uint64, to pb.TaskState) func(*pb.Event) bool {
	return func(e *pb.Event) bool { return e.GetTask().GetId() == id && e.GetTask().GetTo() == to }
}

// last returns the number of the newest event.
func (f *field) last() uint64 {
	status, err := f.c.Status(f.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return status.LastEvent
}

// running submits a task that runs until it is cancelled, and returns it and its worker.
func (f *field) running() (id uint64, worker *grid.Process, cancel func()) {
	id = f.submit("wait", "60")
	f.after(time.Now(), 0, step(id, pb.TaskState_TASK_STATE_PROCESSING))
	task, err := f.c.Get(f.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return id, f.workers[task.WorkerId], func() {
		if _, err := f.c.Cancel(f.Context(), "measured", id); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *field) workerKilled() []time.Duration {
	id, worker, cancel := f.running()
	since, begin := f.last(), time.Now()
	worker.Kill()
	took := []time.Duration{f.after(begin, since, step(id, pb.TaskState_TASK_STATE_RETRYING)), f.after(begin, since, step(id, pb.TaskState_TASK_STATE_PROCESSING))}
	cancel()
	worker.Start()
	f.whole()
	return took
}

func (f *field) workerStopped() []time.Duration {
	id, worker, cancel := f.running()
	since, begin := f.last(), time.Now()
	worker.Pause()
	took := []time.Duration{f.after(begin, since, func(e *pb.Event) bool {
		return e.GetWorker().GetWorkerId() == worker.Name() && e.GetWorker().GetTo() == "UNHEALTHY"
	}), f.after(begin, since, step(id, pb.TaskState_TASK_STATE_RETRYING))}
	worker.Resume()
	cancel()
	f.whole()
	return took
}

func (f *field) workerTerminated() []time.Duration {
	_, worker, cancel := f.running()
	since, begin := f.last(), time.Now()
	worker.Terminate()
	draining := f.after(begin, since, func(e *pb.Event) bool {
		return e.GetWorker().GetWorkerId() == worker.Name() && e.GetWorker().GetTo() == "DRAINING"
	})
	cancel()
	begin = time.Now()
	worker.Exited()
	ended := time.Since(begin)
	worker.Start()
	f.whole()
	return []time.Duration{draining, ended}
}

func (f *field) onlyWorkerBack() []time.Duration {
	for _, w := range f.workers {
		w.Kill()
	}
	since, id := f.last(), f.submit("reverse", "ab")
	begin := time.Now()
	f.workers["w1"].Start()
	took := f.after(begin, since, step(id, pb.TaskState_TASK_STATE_COMPLETED))
	f.workers["w2"].Start()
	f.whole()
	return []time.Duration{took}
}

// back measures from a moment on how long it takes until a submission is acknowledged, and until its task is done.
func (f *field) back(begin time.Time) []time.Duration {
	id := f.submit("reverse", "ab")
	acknowledged := time.Since(begin)
	f.wait(id)
	done := time.Since(begin)
	f.whole()
	return []time.Duration{acknowledged, done}
}

func (f *field) wait(id uint64) {
	f.t.Helper()
	for _, err := range f.c.Wait(f.Context(), id) {
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *field) dispatcherKilled() []time.Duration {
	begin := time.Now()
	f.dispatcher.Kill()
	f.dispatcher.Start()
	return f.back(begin)
}

func (f *field) dispatcherTerminated() []time.Duration {
	begin := time.Now()
	f.dispatcher.Terminate()
	f.dispatcher.Exited()
	f.dispatcher.Start()
	return f.back(begin)
}

func (f *field) dispatcherStopped() []time.Duration {
	f.dispatcher.Pause()
	time.Sleep(2 * time.Second) // the fault's own length
	begin := time.Now()
	f.dispatcher.Resume()
	return f.back(begin)
}

// one measures a task from its submission to its end.
func (f *field) one() time.Duration {
	begin := time.Now()
	f.wait(f.submit("reverse", "ab"))
	return time.Since(begin)
}

func (f *field) namesKilled() []time.Duration {
	f.names.Kill()
	took := f.one()
	f.names.Start()
	f.whole()
	return []time.Duration{took}
}

func (f *field) namesStopped() []time.Duration {
	f.names.Pause()
	took := f.one()
	f.names.Resume()
	f.whole()
	return []time.Duration{took}
}

func (f *field) namesBack() []time.Duration {
	f.names.Kill()
	conn, err := rpc.Dial("passthrough:///"+f.NS, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	f.names.Start()
	f.Eventually("the name service lists all workers", func(ctx context.Context) error {
		conn.ResetConnectBackoff()
		answer, err := pb.NewNameServiceClient(conn).LookupWorkers(ctx, &pb.LookupWorkersRequest{})
		if err == nil && len(answer.Workers) != len(f.workers) {
			err = fmt.Errorf("%d workers", len(answer.Workers))
		}
		return err
	})
	took := time.Since(begin)
	f.whole()
	return []time.Duration{took}
}

func (f *field) monitoringKilled() []time.Duration {
	begin := time.Now()
	f.monitoring.Kill()
	f.monitoring.Start()
	f.Eventually("/stats answers", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.HTTP+"/stats", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var stats struct{ Missing []any }
		if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
			return err
		}
		if len(stats.Missing) > 0 {
			return fmt.Errorf("missing: %v", stats.Missing)
		}
		return nil
	})
	return []time.Duration{time.Since(begin)}
}
