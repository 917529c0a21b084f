package monitoring

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// The names of the worker states, as in the proto without its prefix.
const (
	stateActive    = "ACTIVE"
	stateDraining  = "DRAINING"
	stateUnhealthy = "UNHEALTHY"
	stateOffline   = "OFFLINE"
)

// workerStates lists the states, the liveliest first. Where two name services differ, the one further to the left is
// right: whoever still hears a worker knows that it lives, and a worker that drains for one drains for all.
var workerStates = []string{stateDraining, stateActive, stateUnhealthy, stateOffline}

// Worker is a worker in the answer of GET /workers: what the name services and the dispatcher say of it. Its lease is
// left out on purpose: who knows a lease can end it.
type Worker struct {
	WorkerID string   `json:"worker_id"`
	Types    []string `json:"types"`
	// Address is where its WorkerService listens, host:port.
	Address string `json:"address"`
	// State is ACTIVE, UNHEALTHY, DRAINING or OFFLINE.
	State string `json:"state"`
	// Registered is false when no name service lists it (any more), though the dispatcher still knows it.
	Registered bool `json:"registered"`
	// LastHeartbeat is Unix milliseconds on the name service's clock, LastHeartbeatAgeMS how long before the collection
	// that was; on machines whose clocks differ it is off by the difference, but never below 0.
	LastHeartbeat      int64   `json:"timestamp_last_heartbeat"`
	LastHeartbeatAgeMS int64   `json:"last_heartbeat_age_ms"`
	RegisteredTime     int64   `json:"timestamp_registered"`
	Load               float64 `json:"load"`
	Version            string  `json:"version,omitempty"`
	// Labels are the worker's own words about itself.
	Labels map[string]string `json:"labels,omitempty"`
	// Breaker is "closed", "open" or "half-open"; empty while the dispatcher has said nothing of this worker.
	Breaker string `json:"breaker"`
	// Connected tells whether the dispatcher's stream to it is open; if not, Error says why.
	Connected bool   `json:"connected"`
	Error     string `json:"error,omitempty"`
	// Running is how many attempts the dispatcher has handed it, or, before the dispatcher told, how many it says it runs.
	Running  uint32 `json:"running"`
	Capacity uint32 `json:"capacity"`
	// Completed and Failed count tasks and attempts since the present dispatcher leads.
	Completed uint64 `json:"completed"`
	Failed    uint64 `json:"failed"`
}

// Entry is what a name service says of one worker.
type Entry struct {
	WorkerID, Lease, Address, State, Version string
	Types                                    []string
	Labels                                   map[string]string
	Capacity, Running                        uint32
	Load                                     float64
	LastHeartbeat, RegisteredTime            time.Time
}

// Link is what the dispatcher says of one worker.
type Link struct {
	// Entry is what the dispatcher last heard of it from the name service.
	Entry             Entry
	Connected         bool
	Breaker, Error    string
	Running           uint32
	Completed, Failed uint64
}

// JoinWorkers makes one list, in the order of the ids, of what all name services and the dispatcher say. A worker is
// registered when a name service lists it; while no name service has ever answered, the dispatcher's word counts.
func JoinWorkers(r Reading) []Worker {
	entries := joinEntries(r.NameServices)
	var links []Link
	if r.Dispatcher != nil {
		links = r.Dispatcher.Links
	}
	byID := map[string]Worker{}
	for id, e := range entries {
		byID[id] = newWorker(e, true, r.Time)
	}
	for _, l := range links {
		id := l.Entry.WorkerID
		w, ok := byID[id]
		if !ok {
			w = newWorker(l.Entry, len(r.NameServices) == 0, r.Time)
		}
		w.Breaker, w.Connected, w.Error = l.Breaker, l.Connected, l.Error
		w.Running, w.Completed, w.Failed = l.Running, l.Completed, l.Failed
		byID[id] = w
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b Worker) int { return strings.Compare(a.WorkerID, b.WorkerID) })
}

// joinEntries joins what several name services say. One lease stands for one process of the worker, so an older entry
// under another lease is about a process that is gone, and is dropped. Under the same lease the later heartbeat tells how
// the worker does, and the livelier state whether it lives.
func joinEntries(views [][]Entry) map[string]Entry {
	joined := map[string]Entry{}
	for _, view := range views {
		for _, e := range view {
			if old, ok := joined[e.WorkerID]; ok {
				e = joinEntry(old, e)
			}
			joined[e.WorkerID] = e
		}
	}
	return joined
}

func joinEntry(a, b Entry) Entry {
	if a.RegisteredTime.Before(b.RegisteredTime) {
		a, b = b, a
	}
	if a.Lease != b.Lease {
		return a
	}
	if b.LastHeartbeat.After(a.LastHeartbeat) {
		a.LastHeartbeat, a.Running, a.Load = b.LastHeartbeat, b.Running, b.Load
	}
	if liveliness(b.State) < liveliness(a.State) {
		a.State = b.State
	}
	return a
}

// liveliness orders the states; one that is not known comes last.
func liveliness(state string) int {
	i := slices.Index(workerStates, state)
	return cmp.Or(i+1, len(workerStates)+1)
}

func newWorker(e Entry, registered bool, now time.Time) Worker {
	w := Worker{
		WorkerID: e.WorkerID, Types: append([]string{}, e.Types...), Address: e.Address, State: e.State,
		Registered: registered, Load: finite(e.Load), Version: e.Version, Labels: e.Labels,
		Running: e.Running, Capacity: e.Capacity,
	}
	if !e.LastHeartbeat.IsZero() {
		w.LastHeartbeat = e.LastHeartbeat.UnixMilli()
		w.LastHeartbeatAgeMS = max(0, now.Sub(e.LastHeartbeat).Milliseconds())
	}
	if !e.RegisteredTime.IsZero() {
		w.RegisteredTime = e.RegisteredTime.UnixMilli()
	}
	return w
}

// finite rounds a load to three decimals. JSON has no number for what a faulty worker may say, NaN or infinity: 0.
func finite(load float64) float64 {
	if math.IsNaN(load) || math.IsInf(load, 0) {
		return 0
	}
	return math.Round(load*1000) / 1000
}
