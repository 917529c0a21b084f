//go:build unix

// Package chaos attacks a grid of real processes while clients work with it, and has the checker judge what was seen.
//
// It runs for some seconds with all other tests. `make chaos` runs it for three minutes, `make soak DURATION=1h` for as
// long as one likes; CHAOS_SEED repeats the order of the faults, not their effect.
package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"taskgrid/client"
	"taskgrid/dispatcher/core"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/chaos/record"
	"taskgrid/tests/checker"
	"taskgrid/tests/grid"
	"taskgrid/tests/witness"
)

func TestMain(m *testing.M) { grid.Main(m) }

// types are those of the load: the built-in ones and those of the recorder.
var types = []string{"reverse", "sum", "hash", "upper", "wait", "stamp", "flaky"}

// limits are those of the grid under attack, on a machine that may be busy.
var limits = checker.Limits{MaxAttempts: 4, AttemptTimeout: 5 * time.Second, Pause: 15 * time.Second, Slack: 30 * time.Second, Lag: 20 * time.Second}

// arena is a grid under attack and those who look on.
type arena struct {
	*grid.Grid
	t       *testing.T
	monkey  *monkey
	witness *witness.Witness
	load    *witness.Load
	records string // folder of what the workers write down
	workers []string
	metrics map[string]string // by process: where its metrics are
}

// newArena starts a grid: a name service, a dispatcher, two workers for all types and one for each, monitoring.
func newArena(t *testing.T, seed uint64, limits checker.Limits, flags ...string) *arena {
	g := grid.New(t)
	g.LogLevel = "info"
	a := &arena{Grid: g, t: t, witness: witness.New(limits), records: t.TempDir(), metrics: map[string]string{},
		monkey: &monkey{t: t, dice: rand.New(rand.NewPCG(seed, 0)), faults: map[string]int{}}}
	a.load = &witness.Load{Witness: a.witness, Rate: 200, Types: []string{"stamp", "flaky"}, Seed: seed, Wrong: t.Errorf}
	ports := grid.FreePorts(t, 4)
	for i, name := range []string{"nameservice", "dispatcher", "monitoring", "worker-all1"} {
		a.metrics[name] = ports[i]
	}
	a.attack(g.Nameservice("--metrics-address", a.metrics["nameservice"]))
	a.attack(g.Dispatcher(append([]string{"--metrics-address", a.metrics["dispatcher"], "--attempt-timeout", limits.AttemptTimeout.String()}, flags...)...))
	a.attack(g.Monitoring("--metrics-address", a.metrics["monitoring"]))
	recorder := grid.Build(t, "taskgrid/tests/chaos/recorder")
	all := ""
	for _, typ := range types {
		all += "," + typ
		a.worker(recorder, "worker-"+typ, typ)
	}
	a.worker(recorder, "worker-all1", all[1:])
	a.worker(recorder, "worker-all2", all[1:])
	for range 4 {
		a.load.Clients = append(a.load.Clients, g.Client())
	}
	g.Connected(a.workers...)
	return a
}

func (a *arena) attack(p *grid.Process) {
	a.monkey.victims = append(a.monkey.victims, &victim{Process: p})
}

func (a *arena) worker(recorder, id, types string) {
	a.workers = append(a.workers, id)
	a.attack(a.StartProgram(id, recorder, "-id", id, "-types", types, "-nameservice", a.NS, "-record", filepath.Join(a.records, id),
		"-metrics", a.metrics[id]))
}

// run attacks the grid for a time and returns when everything that was accepted has ended, or should have. During, unless
// it is nil, is called every second.
func (a *arena) run(length, interval time.Duration, during func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	var looking, loading sync.WaitGroup
	stop := make(chan struct{})
	patient, giveUp := context.WithCancel(a.t.Context())
	defer giveUp()
	c := a.Client()
	looking.Go(func() {
		if err := a.witness.Watch(ctx, c); err != nil {
			a.t.Errorf("watching the events: %v", err)
		}
	})
	conn, err := rpc.Dial("passthrough:///"+a.NS, "witness")
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	looking.Go(func() { a.witness.Names(ctx, pb.NewNameServiceClient(conn)) })
	looking.Go(func() { a.witness.Counts(ctx, c) })
	loading.Go(func() { a.load.Run(patient, stop) })

	last := time.Now()
	a.monkey.play(length, interval, func() error {
		if during != nil && time.Since(last) > time.Second {
			last = time.Now()
			during()
		}
		return a.witness.Verdict()
	})
	close(stop)
	a.Connected(a.workers...)
	calm := time.Now()
	for _, typ := range types {
		a.witness.Add(checker.Serves{At: calm, Type: typ})
	}
	// What does not end within its limits is the judge's to say: here it is only waited for.
	bound := time.Duration(limits.MaxAttempts)*(limits.AttemptTimeout+limits.Pause) + limits.Slack
	giving := time.AfterFunc(bound+5*time.Second, giveUp)
	loading.Wait()
	giving.Stop()
	a.t.Logf("everything had ended %v after the last fault", time.Since(calm).Round(time.Millisecond))
	a.settle(c)
	cancel()
	looking.Wait()
}

// settle waits until the witness has seen the last event and counts that belong to it.
func (a *arena) settle(c *client.Client) {
	a.Eventually("the witness sees the last event", func(ctx context.Context) error {
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if seen := a.witness.LastEvent(); seen != status.LastEvent {
			return fmt.Errorf("it has seen %d of %d", seen, status.LastEvent)
		}
		a.witness.Add(witness.Counts(status)...)
		return nil
	})
}

// judge adds what the workers wrote down, and concludes.
func (a *arena) judge() (facts, executions int, err error) {
	for _, id := range a.workers {
		done, err := record.Read(filepath.Join(a.records, id))
		if err != nil {
			a.t.Fatal(err)
		}
		executions += len(done)
		for _, e := range done {
			a.witness.Add(checker.Executed{At: e.At, Worker: e.Worker, Task: e.Task, Token: core.Token(e.Token), Result: e.Result, Failed: e.Failed})
		}
	}
	facts, err = a.witness.Conclude()
	return facts, executions, err
}

// setting returns a duration or a number from the environment.
func setting[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

func parseSeed(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

// TestNothingIsLostStuckOrDoneTwiceUnderChaos does one of kill -9, SIGSTOP for up to 5 s, and SIGTERM every 300 ms to
// any of the processes while clients submit 200 tasks a second.
func TestNothingIsLostStuckOrDoneTwiceUnderChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	length := setting(t, "CHAOS_DURATION", 3*time.Second, time.ParseDuration)
	interval := setting(t, "CHAOS_EVERY", 300*time.Millisecond, time.ParseDuration)
	seed := setting(t, "CHAOS_SEED", uint64(time.Now().UnixNano()), parseSeed)
	t.Logf("report: CHAOS_SEED=%d CHAOS_DURATION=%v CHAOS_EVERY=%v", seed, length, interval)
	a := newArena(t, seed, limits, "--keep-count", "10000000", "--keep-events", "10000000")
	a.run(length, interval, nil)

	// Everything that was accepted is there, and is what it was, also after one more crash.
	dispatcher, c := a.monkey.victims[1], a.Client()
	dispatcher.Kill()
	dispatcher.Start()
	if err := a.witness.ReadAll(a.Context(), c); err != nil {
		t.Error(err)
	}
	facts, executions, err := a.judge()
	if err != nil {
		t.Error(err)
	}
	l := a.load
	t.Logf("report: %s; %d tasks accepted, %d ends told, %d cancelled, %d submitted again, %d executions; %d facts judged",
		a.monkey.count(), len(a.witness.Accepted()), l.Ended.Load(), l.Cancelled.Load(), l.Again.Load(), executions, facts)
}
