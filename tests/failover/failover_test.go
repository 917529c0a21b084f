//go:build unix

// Package failover kills and stops processes of a grid of three dispatchers and three name services under 500 tasks a
// second, and measures how long no task was acknowledged. What was seen is judged by tests/checker.
//
// FAILOVERS says how often the leader is lost (make failover N=30). From 30 on the bounds that the documentation names
// are claims of the test; with fewer, as in make chaos, a bound is only there to notice what hangs. Without it, as with all
// other tests, the leader is lost once, under 40 tasks a second, and what comes after a loss is watched for a shorter time.
package failover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/grid"
	"taskgrid/tests/witness"
)

func TestMain(m *testing.M) { grid.Main(m) }

const (
	every = 50 * time.Millisecond // how often each caller submits a task
	loose = 20 * time.Second      // what a gap may be where it is not measured in earnest
)

// plan is what the tests do, as FAILOVERS asks for.
type plan struct {
	failovers int
	rate      int           // tasks a second
	watch     time.Duration // how long acknowledgements are watched after a loss at least, the last third of it without a longer pause
	earnest   bool          // whether the timing is a claim
}

func planned() plan {
	if n, err := strconv.Atoi(os.Getenv("FAILOVERS")); err == nil && n > 0 {
		return plan{failovers: n, rate: 500, watch: 3 * time.Second, earnest: n >= 30}
	}
	return plan{failovers: 1, rate: 40, watch: time.Second}
}

// arena is a grid under load, and what was seen of it.
type arena struct {
	*grid.Grid
	plan
	t       *testing.T
	names   []*grid.Process
	cluster *grid.Cluster
	workers []*grid.Process
	client  *client.Client
	witness *witness.Witness

	mu   sync.Mutex
	ids  []uint64
	acks []time.Time
}

func newArena(t *testing.T) *arena {
	a := &arena{Grid: grid.New(t), plan: planned(), t: t, witness: witness.New(checker.Limits{Slack: time.Minute})}
	a.LogLevel = "info"
	addresses := grid.FreePorts(t, 3)
	for i, address := range addresses {
		a.names = append(a.names, a.Start(fmt.Sprint("nameservice-", i), "nameservice", "--listen", address))
	}
	a.NS = strings.Join(addresses, ",")
	a.cluster = a.Dispatchers(3)
	a.workers = []*grid.Process{a.Worker("hash-1", "hash"), a.Worker("hash-2", "hash"), a.Worker("wait-1", "wait", "--capacity", "100")}
	a.client = a.Client()
	a.Eventually("tasks of both types are done", func(ctx context.Context) error {
		for _, spec := range []*pb.TaskSpec{{Type: "hash"}, {Type: "wait", Payload: "0"}} {
			if _, err := a.client.Run(ctx, spec); err != nil {
				return err
			}
		}
		return nil
	})
	return a
}

// submit submits one task and notes that it was acknowledged.
func (a *arena) submit(spec *pb.TaskSpec) (uint64, bool) {
	id, err := a.client.Submit(a.t.Context(), spec)
	if err != nil {
		a.t.Errorf("submit %v: %v", spec, err)
		return 0, false
	}
	a.witness.Add(witness.Accepted(spec, id, false))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids, a.acks = append(a.ids, id), append(a.acks, time.Now())
	return id, true
}

// under runs do while callers submit, and then waits for all tasks and judges what was seen.
func (a *arena) under(do func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	var watching, loading sync.WaitGroup
	watching.Go(func() {
		if err := a.witness.Watch(ctx, a.client); err != nil {
			a.t.Errorf("watching the events: %v", err)
		}
	})
	stop := make(chan struct{})
	for n := range a.rate / int(time.Second/every) {
		loading.Go(func() {
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
				if _, ok := a.submit(&pb.TaskSpec{Type: "hash", Payload: fmt.Sprint(n, " ", i)}); !ok {
					return
				}
			}
		})
	}
	do()
	close(stop)
	loading.Wait()
	a.expectCompleted(a.ids)
	a.Eventually("the witness sees the last event", func(ctx context.Context) error {
		status, err := a.client.Status(ctx)
		if err == nil && a.witness.LastEvent() != status.LastEvent {
			err = fmt.Errorf("it has seen %d of %d", a.witness.LastEvent(), status.LastEvent)
		}
		return err
	})
	cancel()
	watching.Wait()
	if _, wrong := a.witness.Conclude(); wrong != nil {
		a.t.Error(wrong)
	}
	a.t.Logf("%d tasks", len(a.ids))
}

// expectCompleted checks that each task ends COMPLETED.
func (a *arena) expectCompleted(ids []uint64) {
	a.t.Helper()
	for task, err := range a.client.Wait(a.Context(), ids...) {
		if err != nil {
			a.t.Fatal(err)
		}
		a.witness.Add(witness.Task(time.Time{}, task))
		if task.State != pb.TaskState_TASK_STATE_COMPLETED {
			a.t.Errorf("task %d, acknowledged, ended %v: %s", task.Id, task.State, task.Error)
		}
	}
}

// gap lets do happen and returns the longest time without an acknowledgement from then on, until they have come for a
// while without such a pause.
func (a *arena) gap(do func()) (longest time.Duration) {
	begin := time.Now()
	do()
	for {
		time.Sleep(100 * time.Millisecond)
		a.mu.Lock()
		from, _ := slices.BinarySearchFunc(a.acks, begin, time.Time.Compare)
		acks := append([]time.Time{begin}, a.acks[from:]...)
		a.mu.Unlock()
		longest, at := time.Duration(0), begin
		for i := 1; i < len(acks); i++ {
			if d := acks[i].Sub(acks[i-1]); d > longest {
				longest, at = d, acks[i]
			}
		}
		if last := acks[len(acks)-1]; last.Sub(begin) > a.watch && last.Sub(at) > a.watch/3 {
			return longest
		}
		if time.Since(begin) > loose {
			return time.Since(begin)
		}
	}
}

// TestEveryAcknowledgedTaskEndsOnceThoughLeadersAreKilled kills the leader again and again. Tasks that run meanwhile go on.
func TestEveryAcknowledgedTaskEndsOnceThoughLeadersAreKilled(t *testing.T) {
	a := newArena(t)
	a.failOver("killed", func(_ int, leader *grid.Replica) (lose, back func()) {
		return leader.Kill, leader.Start
	})
}

// TestEveryAcknowledgedTaskEndsOnceThoughMachinesFallSilent stops the leader and a name service, as if both stood on one
// machine that is lost: no connection to them breaks. Then they go on as if nothing had happened.
func TestEveryAcknowledgedTaskEndsOnceThoughMachinesFallSilent(t *testing.T) {
	a := newArena(t)
	a.failOver("stopped with a name service", func(round int, leader *grid.Replica) (lose, back func()) {
		names := a.names[round%len(a.names)]
		return func() { names.Pause(); leader.Pause() }, func() { names.Resume(); leader.Resume() }
	})
}

// failOver loses leaders under load, one after the other, and brings each back when another has led for a while.
func (a *arena) failOver(how string, fault func(round int, leader *grid.Replica) (lose, back func())) {
	var gaps []time.Duration
	var returns time.Duration // the longest gap when one came back
	a.under(func() {
		for round := range a.failovers {
			lose, back := fault(round, a.cluster.Leader())
			running := a.startWaiting()
			gaps = append(gaps, a.gap(lose))
			returns = max(returns, a.gap(back))
			for task, err := range a.client.Wait(a.Context(), running...) {
				if err != nil {
					a.t.Fatal(err)
				}
				if task.Attempts != 1 || task.Redeliveries != 0 {
					a.t.Errorf("task %d ran through a failover: %d attempts, %d redeliveries; want it to go on", task.Id, task.Attempts, task.Redeliveries)
				}
			}
		}
	})
	slices.Sort(gaps)
	p50, p99 := gaps[len(gaps)/2], gaps[(len(gaps)*99+99)/100-1]
	a.t.Logf("%d leaders %s: p50 %v, p90 %v, p99 %v of no acknowledgement; at most %v when they came back", len(gaps), how, p50, gaps[len(gaps)*9/10], p99, returns)
	if a.earnest && (p50 > time.Second || p99 > 2500*time.Millisecond) || max(p99, returns) >= loose {
		a.t.Errorf("p50 %v and p99 %v without an acknowledgement, want at most 1s and 2.5s: %v", p50, p99, gaps)
	}
}

// startWaiting submits tasks that take longer than a failover, and returns them when they run.
func (a *arena) startWaiting() (running []uint64) {
	seconds := fmt.Sprint((a.watch + 2*time.Second).Seconds())
	for range 5 {
		if id, ok := a.submit(&pb.TaskSpec{Type: "wait", Payload: seconds}); ok {
			running = append(running, id)
		}
	}
	a.Eventually("they run", func(ctx context.Context) error {
		task, err := a.client.Get(ctx, running[len(running)-1])
		if err == nil && !slices.ContainsFunc(task.History, func(s *pb.Transition) bool { return s.To == pb.TaskState_TASK_STATE_PROCESSING }) {
			err = fmt.Errorf("the last is %v", task.State)
		}
		return err
	})
	return running
}

// TestNobodyNoticesTheLossOfWhatDoesNotLead kills two name services of three, a worker and a follower.
func TestNobodyNoticesTheLossOfWhatDoesNotLead(t *testing.T) {
	a := newArena(t)
	losses := []struct {
		what string
		kill func()
	}{
		{"nothing", func() {}}, // to compare with
		{"two name services", func() { a.names[0].Kill(); a.names[1].Kill() }},
		{"a worker", a.workers[0].Kill},
		{"a follower", a.cluster.Followers()[0].Kill},
	}
	if !a.earnest {
		losses = losses[1:]
	}
	a.under(func() {
		for _, loss := range losses {
			gap := a.gap(loss.kill)
			t.Logf("%s killed: %v without an acknowledgement", loss.what, gap)
			if a.earnest && gap > 100*time.Millisecond || gap >= loose {
				t.Errorf("%s killed: %v without an acknowledgement, want at most 100ms", loss.what, gap)
			}
		}
	})
}

// TestAllThreeDispatchersAreKilledAndStartedAgain under load: nobody is left who remembers, but the disks.
func TestAllThreeDispatchersAreKilledAndStartedAgain(t *testing.T) {
	a := newArena(t)
	a.under(func() {
		time.Sleep(a.watch / 3)
		for _, d := range a.cluster.Replicas {
			d.Kill()
		}
		for _, d := range a.cluster.Replicas {
			d.Start()
		}
		t.Logf("%v without an acknowledgement after the start", a.gap(func() {}))
	})
}

// TestALeaderWhoseDiskIsFullLeavesTheLeadToAnother gives each dispatcher a small file system and fills the leader's.
func TestALeaderWhoseDiskIsFullLeavesTheLeadToAnother(t *testing.T) {
	g := grid.New(t)
	for _, id := range []string{"d1", "d2", "d3"} {
		dir := filepath.Join(filepath.Dir(g.Journal()), id)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		mount(t, dir)
	}
	g.Nameservice()
	cluster := g.Dispatchers(3)
	g.Worker("hash-1", "hash")
	c := g.Client()
	specs := make([]*pb.TaskSpec, 16) // a megabyte together: a log file is used up soon
	for i := range specs {
		specs[i] = &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 60<<10)}
	}
	run := func(ctx context.Context) error {
		var ids []uint64
		for _, s := range c.SubmitMany(ctx, specs) {
			if s.Err != nil {
				return s.Err
			}
			ids = append(ids, s.ID)
		}
		for task, err := range c.Wait(ctx, ids...) {
			if err != nil {
				return err
			}
			if task.State != pb.TaskState_TASK_STATE_COMPLETED {
				return fmt.Errorf("task %d is %v", task.Id, task.State)
			}
		}
		return nil
	}
	g.Eventually("tasks are done", run)
	leader := cluster.Leader()
	fill(t, filepath.Join(leader.Data, "ballast"))
	ctx := g.Context()
	for n := 0; !leader.Gone(); n++ { // what is laid out already is used up first
		if err := run(ctx); err != nil {
			t.Fatalf("batch %d with a full disk at the leader: %v", n, err)
		}
		if st, err := leader.Status(ctx); err == nil && st.Raft.State != "leader" {
			break
		}
	}
	if next := cluster.Leader(); next == leader {
		t.Errorf("%s still leads", leader.ID)
	}
	if err := run(ctx); err != nil {
		t.Errorf("after the failover: %v", err)
	}
	if leader.Gone() && !strings.Contains(leader.Log(), "no space left on device") {
		t.Errorf("the log of the one that ended does not say why")
	}
}

// fill takes all the space that is left.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			if chunk = chunk[:len(chunk)/2]; len(chunk) < 512 {
				return
			}
		}
	}
}
