package nameservice

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a caller may branch on, besides ErrInvalid.
var (
	// ErrUnknownLease means: register again.
	ErrUnknownLease = errors.New("unknown lease")
	// ErrUnknownWorker means that no worker of that name is registered.
	ErrUnknownWorker = errors.New("unknown worker")
	// ErrFull means that a table has reached its bound.
	ErrFull = errors.New("table is full")
)

// State is what the registry concludes from a worker's heartbeats.
type State int

// The states, in the order of a worker's decline.
const (
	Active    State = iota + 1 // heartbeats arrive: gets tasks
	Draining                   // heartbeats arrive, but it was asked to get nothing new
	Unhealthy                  // some heartbeats are missing: gets nothing new
	Offline                    // silent for so long that its work counts as lost
)

// String returns the state's name as people read it: "active".
func (s State) String() string {
	names := [...]string{Active: "active", Draining: "draining", Unhealthy: "unhealthy", Offline: "offline"}
	if s < Active || s > Offline {
		return "unspecified"
	}
	return names[s]
}

// Worker is an entry as a reader sees it, at the moment of reading.
type Worker struct {
	*Registration
	Lease         string
	State         State
	Registered    time.Time // when the lease began
	LastHeartbeat time.Time // or the registration, when none came yet
	Running       uint32    // tasks it said it runs
	Load          float32   // how busy it said its processors are, 0 to 1 per processor
}

// Limits bound what the registry holds.
type Limits struct {
	Workers    int // entries
	Bytes      int // all entries together, encoded: the whole table must fit into one message
	Services   int // announcements
	Departures int // departures remembered for watchers that are behind
}

// Counts is what happened since the registry began.
type Counts struct {
	Registrations uint64 // accepted
	Replaced      uint64 // accepted, and the lease of another process died of it
	Heartbeats    uint64 // accepted
	UnknownLeases uint64 // heartbeats refused
}

// Registry is the table of workers and services. The time is an argument of every call; calls see it never go back.
// It is not safe for concurrent use.
type Registry struct {
	times   Times
	limits  Limits
	started time.Time
	now     time.Time // the latest time that a call was given
	counts  Counts

	workers map[string]*entry // by worker_id
	leases  map[string]*entry // by lease
	all     roster
	byType  map[string]roster
	bytes   int // sum of Registration.size

	// Who waits for how long a silence, each in the order of LastHeartbeat. See expiry.go.
	alive, unhealthy, offline list.List

	changes  changes
	services services
}

// entry is a worker's place in the registry.
type entry struct {
	Worker
	draining bool          // it was asked to get nothing new
	version  uint64        // of its latest change
	queue    *list.List    // alive, unhealthy or offline
	inQueue  *list.Element // its place there
	changed  *list.Element // its place in the order of versions
}

// NewRegistry returns an empty registry that began at now. The times must be valid.
func NewRegistry(times Times, limits Limits, now time.Time) *Registry {
	return &Registry{
		times:    times,
		limits:   limits,
		started:  now,
		now:      now,
		workers:  map[string]*entry{},
		leases:   map[string]*entry{},
		byType:   map[string]roster{},
		services: services{entries: map[serviceKey]*announcement{}},
	}
}

// Application is a worker's wish to be registered.
type Application struct {
	Registration *Registration // the registry keeps it
	Lease        string        // the lease that this very process already bears; "": none
	FreshLease   string        // the lease to give to a process that has none
	Draining     bool          // wants to be entered as one that gets nothing new
}

// Registered is the outcome of a registration.
type Registered struct {
	Lease string
	// Replaced is the address of the process whose lease died of this registration; "" if none did.
	Replaced string
}

// Register enters a worker under the lease that it bears, or else under a fresh one. A worker that registers again
// under its own lease goes on where it was: what it says of itself is brought up to date, and a wish that it drain
// stands. Errors: ErrInvalid, ErrFull.
func (r *Registry) Register(now time.Time, a Application) (Registered, error) {
	r.Advance(now)
	lease := cmp.Or(a.Lease, a.FreshLease)
	if err := r.check(a.Registration, lease); err != nil {
		return Registered{}, err
	}
	e := r.workers[a.Registration.ID]
	if err := r.makeRoom(e, a.Registration); err != nil {
		return Registered{}, err
	}
	r.counts.Registrations++
	if e != nil && e.Lease == lease {
		r.renew(e, a)
		return Registered{Lease: lease}, nil
	}
	done := Registered{Lease: lease}
	if e == nil {
		e = &entry{Worker: Worker{Registration: a.Registration}}
		r.insert(e)
	} else {
		done.Replaced = e.Address
		r.counts.Replaced++
		delete(r.leases, e.Lease)
		r.describe(e, a.Registration)
	}
	e.Worker = Worker{Registration: a.Registration, Lease: lease, Registered: r.now}
	e.draining = a.Draining
	r.leases[lease] = e
	r.hear(e)
	return done, nil
}

// check returns an ErrInvalid unless the registration and its lease may be entered.
func (r *Registry) check(reg *Registration, lease string) error {
	if err := reg.Validate(); err != nil {
		return err
	}
	if err := checkLease(lease); err != nil {
		return err
	}
	if holder := r.leases[lease]; holder != nil && holder.ID != reg.ID {
		return invalid("lease_id", shorten(lease), "is the lease of another worker")
	}
	return nil
}

// renew brings the entry of a worker up to date that registers again under its own lease. It is a change only if
// something about it did change.
func (r *Registry) renew(e *entry, a Application) {
	if !e.says(a.Registration) {
		r.describe(e, a.Registration)
		e.State = 0 // makes it a change, whatever the state was
	}
	e.draining = e.draining || a.Draining
	r.hear(e)
}

// Heartbeat keeps the lease alive and returns the worker's state, Active or Draining. Error: ErrUnknownLease, also
// when the lease is not that of the worker id.
func (r *Registry) Heartbeat(now time.Time, lease, id string, running uint32, load float32) (State, error) {
	r.Advance(now)
	e := r.leases[lease]
	if e == nil || e.ID != id {
		r.counts.UnknownLeases++
		return 0, fmt.Errorf("%w of worker %s: register again", ErrUnknownLease, shorten(id))
	}
	r.counts.Heartbeats++
	e.Running, e.Load = running, load
	r.hear(e)
	return e.State, nil
}

// SetDraining asks a worker to drain, or takes the wish back. Error: ErrUnknownWorker.
func (r *Registry) SetDraining(now time.Time, id string, draining bool) error {
	r.Advance(now)
	e := r.workers[id]
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknownWorker, shorten(id))
	}
	e.draining = draining
	if e.queue == &r.alive {
		r.setState(e, e.lively())
	}
	return nil
}

// Deregister ends a lease and returns the id of its worker; "" if the lease was unknown, which is no error.
func (r *Registry) Deregister(now time.Time, lease string) string {
	r.Advance(now)
	e := r.leases[lease]
	if e == nil {
		return ""
	}
	r.remove(e)
	return e.ID
}

// Lookup lists the workers of a type (of all types, if ""), in the order of worker_id: the Active ones, or those in
// every state.
func (r *Registry) Lookup(now time.Time, taskType string, everyState bool) []Worker {
	r.Advance(now)
	entries := r.roster(taskType)
	found := make([]Worker, 0, len(entries))
	for _, e := range entries {
		if everyState || e.State == Active {
			found = append(found, e.Worker)
		}
	}
	return found
}

// Settled reports whether absence means something at now: the registry has run for so long that every living worker
// has had the time to register.
func (r *Registry) Settled(now time.Time) bool {
	r.Advance(now)
	return r.changes.settled != 0
}

// Counts returns what happened so far.
func (r *Registry) Counts() Counts { return r.counts }

// lively is the state of the worker while its heartbeats arrive.
func (e *entry) lively() State {
	if e.draining {
		return Draining
	}
	return Active
}

// makeRoom returns ErrFull if reg does not fit in. e is the entry that it will take the place of, or nil. A worker that
// is Offline gives way to a new one: whoever lives matters more than the memory of the dead.
func (r *Registry) makeRoom(e *entry, reg *Registration) error {
	count, size := 1, reg.size()
	if e != nil {
		count, size = 0, size-e.size()
	}
	for len(r.workers)+count > r.limits.Workers || (size > 0 && r.bytes+size > r.limits.Bytes) {
		oldest := r.offline.Front()
		if oldest == nil || oldest.Value.(*entry) == e {
			return fmt.Errorf("%w: %d workers, %d bytes; the bounds are %d and %d",
				ErrFull, len(r.workers), r.bytes, r.limits.Workers, r.limits.Bytes)
		}
		r.remove(oldest.Value.(*entry))
	}
	return nil
}

// insert enters a new worker into the tables by name and by type.
func (r *Registry) insert(e *entry) {
	r.workers[e.ID] = e
	r.all = r.all.with(e)
	for _, t := range e.Types {
		r.byType[t] = r.byType[t].with(e)
	}
	r.bytes += e.size()
}

// remove forgets a worker.
func (r *Registry) remove(e *entry) {
	e.queue.Remove(e.inQueue)
	r.changes.drop(e)
	delete(r.leases, e.Lease)
	delete(r.workers, e.ID)
	r.all = r.all.without(e)
	for _, t := range e.Types {
		r.leaveType(e, t)
	}
	r.bytes -= e.size()
	r.changes.depart(e.ID, e.Types, r.limits.Departures)
}

// describe replaces what a worker says of itself. Watchers of a type that it gives up are told that it departed.
func (r *Registry) describe(e *entry, reg *Registration) {
	var lost []string
	for _, t := range e.Types {
		if !slices.Contains(reg.Types, t) {
			lost = append(lost, t)
			r.leaveType(e, t)
		}
	}
	if len(lost) > 0 {
		r.changes.depart(e.ID, lost, r.limits.Departures)
	}
	for _, t := range reg.Types {
		r.byType[t] = r.byType[t].with(e)
	}
	r.bytes += reg.size() - e.size()
	e.Registration = reg
}

func (r *Registry) leaveType(e *entry, taskType string) {
	if left := r.byType[taskType].without(e); len(left) > 0 {
		r.byType[taskType] = left
	} else {
		delete(r.byType, taskType)
	}
}

// roster returns the entries of a type, or all for "".
func (r *Registry) roster(taskType string) roster {
	if taskType == "" {
		return r.all
	}
	return r.byType[taskType]
}

// roster lists entries in the order of worker_id.
type roster []*entry

// with returns the roster with e in it, once. The receiver is used up.
func (o roster) with(e *entry) roster {
	i, found := o.search(e.ID)
	if found {
		return o
	}
	return slices.Insert(o, i, e)
}

// without returns the roster without e. The receiver is used up.
func (o roster) without(e *entry) roster {
	i, found := o.search(e.ID)
	if !found {
		return o
	}
	return slices.Delete(o, i, i+1)
}

func (o roster) search(id string) (int, bool) {
	return slices.BinarySearchFunc(o, id, func(e *entry, id string) int { return strings.Compare(e.ID, id) })
}
