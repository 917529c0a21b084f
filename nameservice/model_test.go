package nameservice_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"taskgrid/nameservice"
)

// TestRegistryBehavesLikeAMap does random things to a registry and to a model of it that has no queues, versions or
// indexes, and compares what readers and watchers see.
func TestRegistryBehavesLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		t.Repeat(map[string]func(*rapid.T){
			"register":    m.register,
			"heartbeat":   m.heartbeat,
			"drain":       m.drain,
			"deregister":  m.deregister,
			"wait":        m.wait,
			"stand still": m.standStill,
			"watch":       m.watch,
			"catch up":    m.catchUp,
			"":            m.compare,
		})
	})
}

// model is what a registry should know, written down in the plainest way.
type model struct {
	registry *nameservice.Registry
	now      time.Time
	leases   int // given so far
	workers  map[string]*modelWorker
	watchers []*replica
	editions map[string]edition // by type: the list that was compared last
}

// edition is a list under the Edition that it had.
type edition struct {
	of   nameservice.Edition
	list []nameservice.Worker
}

type modelWorker struct {
	seen     seen
	draining bool
	heard    time.Time
}

// seen is what a watcher is told of a worker, and kept up to date about.
type seen struct {
	Types          []string
	Lease, Address string
	State          string
}

// replica is a watcher: it knows only what Snapshot and Since told it.
type replica struct {
	taskType string
	version  uint64
	workers  map[string]seen
}

var (
	modelIDs   = rapid.SampledFrom([]string{"a", "b", "c"})
	modelTypes = rapid.SampledFrom([][]string{{"x"}, {"y"}, {"x", "y"}, {"y", "z"}})
)

func newModel() *model {
	few := nameservice.Limits{Workers: 10, Bytes: 1 << 20, Services: 1, Departures: 4}
	m := &model{registry: nameservice.NewRegistry(times, few, start), now: start, workers: map[string]*modelWorker{}, editions: map[string]edition{}}
	for _, taskType := range []string{"", "x", "y"} {
		m.watchers = append(m.watchers, &replica{taskType: taskType, workers: map[string]seen{}})
	}
	return m
}

func (m *model) register(t *rapid.T) {
	id := modelIDs.Draw(t, "id")
	reg := describe(id, modelTypes.Draw(t, "types")...)
	reg.Address = fmt.Sprintf("host-%d:1", rapid.IntRange(1, 2).Draw(t, "host"))
	m.leases++
	a := nameservice.Application{Registration: reg, FreshLease: fmt.Sprintf("leaseno%d", m.leases), Draining: rapid.Bool().Draw(t, "draining")}
	w, own := m.workers[id], rapid.Bool().Draw(t, "own lease")
	if w != nil && own {
		a.Lease = w.seen.Lease
	}
	got, err := m.registry.Register(m.now, a)
	if err != nil {
		t.Fatalf("register %s: %v", id, err)
	}
	if w == nil || !own {
		w = &modelWorker{}
		m.workers[id] = w
	}
	w.seen = seen{Types: reg.Types, Lease: got.Lease, Address: reg.Address}
	w.draining = w.draining || a.Draining
	w.heard = m.now
}

func (m *model) heartbeat(t *rapid.T) {
	id, lease := modelIDs.Draw(t, "id"), "leaseofnobody"
	w := m.workers[id]
	if w != nil && rapid.Bool().Draw(t, "right lease") {
		lease = w.seen.Lease
	} else {
		w = nil
	}
	_, err := m.registry.Heartbeat(m.now, lease, id, rapid.Uint32Range(0, 1).Draw(t, "running"), 0)
	if (err == nil) != (w != nil) {
		t.Fatalf("heartbeat of %s under %s: got %v", id, lease, err)
	}
	if w != nil {
		w.heard = m.now
	}
}

func (m *model) drain(t *rapid.T) {
	id, draining := modelIDs.Draw(t, "id"), rapid.Bool().Draw(t, "draining")
	w := m.workers[id]
	if err := m.registry.SetDraining(m.now, id, "", draining); (err == nil) != (w != nil) {
		t.Fatalf("drain %s: got %v", id, err)
	}
	if w != nil {
		w.draining = draining
	}
}

func (m *model) deregister(t *rapid.T) {
	id := modelIDs.Draw(t, "id")
	if w := m.workers[id]; w != nil {
		m.registry.Deregister(m.now, w.seen.Lease)
		delete(m.workers, id)
	}
}

func (m *model) wait(t *rapid.T) {
	m.now = m.now.Add(rapid.SampledFrom([]time.Duration{
		time.Millisecond, time.Second, 3 * time.Second, 7 * time.Second, 50 * time.Second,
	}).Draw(t, "time"))
	for id, w := range m.workers {
		if m.now.Sub(w.heard) >= times.ForgetAfter {
			delete(m.workers, id)
		}
	}
}

// standStill lets the name service hear nobody for a while.
func (m *model) standStill(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Millisecond, 9 * time.Second, time.Hour}).Draw(t, "pause")
	m.now = m.now.Add(d)
	m.registry.Missed(m.now, d)
	for _, w := range m.workers {
		w.heard = w.heard.Add(d)
	}
}

// watch lets one of the watchers take one step.
func (m *model) watch(t *rapid.T) {
	r := rapid.SampledFrom(m.watchers).Draw(t, "watcher")
	r.step(t, m, rapid.IntRange(1, 3).Draw(t, "limit"))
}

// catchUp lets one of the watchers read all there is.
func (m *model) catchUp(t *rapid.T) {
	r := rapid.SampledFrom(m.watchers).Draw(t, "watcher")
	for m.registry.Advance(m.now); r.version != m.registry.Version(); {
		r.step(t, m, rapid.IntRange(1, 3).Draw(t, "limit"))
	}
}

// step applies what the registry tells the watcher next.
func (r *replica) step(t *rapid.T, m *model, limit int) {
	view, ok := m.registry.Since(m.now, r.taskType, r.version, limit)
	if ok && view.Version == r.version && m.registry.Version() != r.version {
		t.Fatalf("watcher of %q at version %d: no step towards %d", r.taskType, r.version, m.registry.Version())
	}
	if ok && len(view.Workers)+len(view.Removed) > 2*limit {
		t.Fatalf("watcher of %q: %d workers and %d departures at once, limit %d", r.taskType, len(view.Workers), len(view.Removed), limit)
	}
	if !ok {
		view = m.registry.Snapshot(m.now, r.taskType)
		clear(r.workers)
	}
	for _, id := range view.Removed {
		if w := m.workers[id]; w != nil && (r.taskType == "" || slices.Contains(w.seen.Types, r.taskType)) {
			t.Fatalf("watcher of %q: told that %s left, but it is there", r.taskType, id)
		}
		delete(r.workers, id)
	}
	for _, w := range view.Workers {
		r.workers[w.ID] = asSeen(w)
	}
	r.version = view.Version
}

// compare checks what lookups answer, and what every watcher knows that has read all there is.
func (m *model) compare(t *rapid.T) {
	for _, r := range m.watchers {
		want, got := map[string]seen{}, map[string]seen{}
		active := 0
		for id, w := range m.workers {
			w.seen.State = w.state(m.now)
			if r.taskType == "" || slices.Contains(w.seen.Types, r.taskType) {
				want[id] = w.seen
				if w.seen.State == "active" {
					active++
				}
			}
		}
		list := m.registry.Lookup(m.now, r.taskType, true)
		for _, w := range list {
			got[w.ID] = asSeen(w)
		}
		last, is := m.editions[r.taskType], m.registry.Edition(m.now, r.taskType)
		if diff := cmp.Diff(last.list, list, cmpopts.EquateEmpty()); is == last.of && diff != "" {
			t.Fatalf("lookup of %q has changed (-before +after), its edition %v has not:\n%s", r.taskType, is, diff)
		}
		m.editions[r.taskType] = edition{is, list}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("lookup of %q (-model +registry):\n%s", r.taskType, diff)
		}
		if got := len(m.registry.Lookup(m.now, r.taskType, false)); got != active {
			t.Fatalf("active workers of %q: got %d, want %d", r.taskType, got, active)
		}
		if r.version != m.registry.Version() {
			continue
		}
		if diff := cmp.Diff(want, r.workers); diff != "" {
			t.Fatalf("watcher of %q at version %d (-model +watcher):\n%s", r.taskType, r.version, diff)
		}
	}
}

func (w *modelWorker) state(now time.Time) string {
	switch silence := now.Sub(w.heard); {
	case silence >= times.OfflineAfter:
		return "offline"
	case silence >= times.UnhealthyAfter:
		return "unhealthy"
	case w.draining:
		return "draining"
	}
	return "active"
}

func asSeen(w nameservice.Worker) seen {
	return seen{Types: w.Types, Lease: w.Lease, Address: w.Address, State: w.State.String()}
}
