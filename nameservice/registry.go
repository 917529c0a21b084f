package nameservice

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"time"
)

// What a caller may branch on, besides ErrInvalid.
var (
	// ErrUnknownLease means: register again.
	ErrUnknownLease = errors.New("unknown lease")
	// ErrReplaced is in the chain, beside ErrUnknownLease, when the lease died of another registration of the worker_id.
	ErrReplaced = errors.New("another process bears this worker_id")
	// ErrUnknownWorker means that no worker of that name is registered.
	ErrUnknownWorker = errors.New("unknown worker")
	// ErrFull means that a table has reached its bound.
	ErrFull = errors.New("table is full")
)

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
	now     time.Time     // the latest time that a call was given
	missed  time.Duration // of it nobody could be heard
	counts  Counts

	workers map[string]*entry // by worker_id
	leases  map[string]*entry // by lease
	all     roster
	byType  map[string]roster
	bytes   int    // sum of Registration.size
	stamps  uint64 // given so far

	// Who waits for how long a silence, each in the order of the last heartbeat. See expiry.go.
	alive, unhealthy, offline list.List

	changes  changes
	services services
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

// Heartbeat keeps the lease alive and returns the worker's state, Active or Draining. Errors: ErrUnknownLease, also
// when the lease is not that of the worker id, and with it ErrReplaced.
func (r *Registry) Heartbeat(now time.Time, lease, id string, running uint32, load float32) (State, error) {
	r.Advance(now)
	e := r.leases[lease]
	if e == nil || e.ID != id {
		r.counts.UnknownLeases++
		if holder := r.workers[id]; e == nil && holder != nil {
			return 0, fmt.Errorf("%w of worker %s: %w, at %s: register again", ErrUnknownLease, shorten(id), ErrReplaced, holder.Address)
		}
		return 0, fmt.Errorf("%w of worker %s: register again", ErrUnknownLease, shorten(id))
	}
	r.counts.Heartbeats++
	e.Running, e.Load = running, load
	r.hear(e)
	return e.State, nil
}

// SetDraining asks a worker to drain, or takes the wish back; if a lease is given, only while the worker has that one.
// Errors: ErrUnknownWorker, ErrUnknownLease.
func (r *Registry) SetDraining(now time.Time, id, lease string, draining bool) error {
	r.Advance(now)
	e := r.workers[id]
	if e == nil {
		return fmt.Errorf("%w: %s", ErrUnknownWorker, shorten(id))
	}
	if lease != "" && e.Lease != lease {
		return fmt.Errorf("%w of worker %s: another process has taken its place", ErrUnknownLease, shorten(id))
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

// Edition tells answers to Lookup apart: as long as a type's is the same, so is its list, heartbeats included.
type Edition struct {
	workers int
	newest  uint64 // stamp
}

// Edition returns that of a type (of all types, if "") at now.
func (r *Registry) Edition(now time.Time, taskType string) Edition {
	r.Advance(now)
	entries := r.roster(taskType)
	// A worker that came or changed bears a newer stamp than all before, and without such a one there can only be fewer.
	is := Edition{workers: len(entries)}
	for _, e := range entries {
		is.newest = max(is.newest, e.stamp)
	}
	return is
}

// Settled reports whether absence means something at now: the registry has run for so long that every living worker
// has had the time to register.
func (r *Registry) Settled(now time.Time) bool {
	r.Advance(now)
	return r.changes.settled != 0
}

// Counts returns what happened so far.
func (r *Registry) Counts() Counts { return r.counts }
