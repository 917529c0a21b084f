package core

import (
	"fmt"
	"time"
)

// WorkerState is what the name service concludes from a worker's heartbeats. The numbers are those of the proto.
type WorkerState uint8

// The states; proto/taskgrid/v1/nameservice.proto says what each one means.
const (
	WorkerUnknown WorkerState = iota
	WorkerActive
	WorkerUnhealthy
	WorkerOffline
	WorkerDraining
)

var workerStateNames = [...]string{"", "ACTIVE", "UNHEALTHY", "OFFLINE", "DRAINING"}

// String returns the state's name, such as "ACTIVE".
func (s WorkerState) String() string { return workerStateNames[s] }

// WorkerInfo is what the name services say of a worker. Its lease stands for one process: a worker that comes back with
// another lease has been restarted.
type WorkerInfo struct {
	ID       string
	LeaseID  string
	Address  string
	Types    []string
	Capacity int
	State    WorkerState
}

// BreakerState is where a circuit breaker stands.
type BreakerState uint8

// The states of a breaker.
const (
	BreakerClosed   BreakerState = iota // the worker gets tasks
	BreakerHalfOpen                     // it gets one, as a probe
	BreakerOpen                         // it gets nothing
)

var breakerStateNames = [...]string{"closed", "half-open", "open"}

// String returns the state's name, such as "half-open".
func (s BreakerState) String() string { return breakerStateNames[s] }

// Breaker keeps a worker that fails from getting more. It counts the worker's own faults (gone, silent past a
// deadline), never the errors of tasks.
type Breaker interface {
	// Allow asks whether the worker may get something. If so, done is called once with whether the worker did its
	// part, unless the attempt was given up for a reason that says nothing of that; a probe's is always called. A done
	// that comes after the breaker has changed its state has no effect.
	Allow() (done func(ok bool), err error)
	// State returns where it stands; an open one that has waited long enough becomes half-open here.
	State() BreakerState
}

// Link is a Process stream to a worker. 0 is none. Each new stream has a new number, so that what an old one still says
// is told from what the current one says.
type Link uint64

// worker is a worker as the scheduler sees it.
type worker struct {
	info     WorkerInfo
	places   []*place // with the queues of its types
	turn     uint64   // when it was chosen last
	breaker  Breaker
	breaking BreakerState // what the breaker said last
	unwell   bool         // it is in the scheduler's list of those
	probe    *flight      // the breaker is half-open, and this is under way to try the worker; else nil

	standing standing // with the strategy, as the lists of ready workers know it
	stale    bool     // that is no longer so, or another list may be the right one: it is in the scheduler's list of those
	cramped  bool     // it is in the scheduler's list of those

	link      Link
	linkError string // why there is none
	window    int    // assignments beyond the capacity that it keeps waiting
	flights   map[uint64]*flight
	ghosts    map[ghost]*flight // attempts that are over for us and still hold a slot there; nil: handed over by another leader
	slow      int               // flights and ghosts that are not known to be short
	fullUntil time.Time         // it refused for capacity: nothing new before
	outbox    []Message
	patient   bool // there are only acknowledgements in it
	leaving   bool // it said on this stream that it drains; see Drains

	completed, failed uint64
}

// ghost names an attempt.
type ghost struct {
	task  uint64
	token Token
}

// flight is an attempt that is with a worker.
type flight struct {
	timer    // its deadline, or the end of the grace for its worker to come back
	spec     *Spec
	token    Token
	worker   *worker // nil while the worker that has it has not connected (to this leader) yet
	workerID string
	leaseID  string
	handed   time.Time
	deadline time.Time
	started  bool
	untold   bool // that it has started is not proposed yet
	short    bool // counted as short when it was handed over
	progress float32
	phase    phase
	done     func(ok bool) // for the breaker; nil when it has been told
}

// late says in words that the attempt passed its deadline.
func (f *flight) late() string {
	return fmt.Sprintf("no outcome within the attempt timeout of %v", f.spec.AttemptTimeout)
}

// phase is how far a flight is.
type phase uint8

const (
	aloft    phase = iota // the worker has it
	answered              // its outcome is being made durable; the worker waits for the acknowledgement
	dropped               // we gave it up, and that is being made durable
)

// lookahead is how much work a worker may be handed beyond its capacity: tasks that are done within this time would
// otherwise cost more on the way than in the handler. A task handed over early waits at most about so long.
const lookahead = time.Millisecond

// place returns the worker's place with a queue, nil when the worker does not serve it.
func (w *worker) place(q *queue) *place {
	for _, p := range w.places {
		if p.queue == q {
			return p
		}
	}
	return nil
}

// assigned is how many of the worker's slots are taken.
func (w *worker) assigned() int { return len(w.flights) + len(w.ghosts) }

// limit is how many assignments it may hold when the next one is for this place. While tasks of other types wait for it
// too, it is the smallest of their limits: otherwise those with a larger one would fill it up for ever.
func (w *worker) limit(p *place) int {
	limit := w.limitAlone(p)
	for _, other := range w.places {
		if other.queue.waits() && limit > w.info.Capacity {
			limit = min(limit, w.limitAlone(other))
		}
	}
	return limit
}

// limitAlone is how many assignments it may hold when no other type waits: its capacity, and where the place's tasks are
// short, as many more as its free slots finish within the lookahead.
func (w *worker) limitAlone(p *place) int {
	if !p.short() || w.window == 0 {
		return w.info.Capacity
	}
	ahead := max(0, w.info.Capacity-w.slow) * int(lookahead/p.typical)
	window := w.window
	if p.queue.narrow {
		window = min(window, narrowWindow)
	}
	return w.info.Capacity + min(window, ahead)
}

// ready tells whether the worker may be handed a task for the place now.
func (w *worker) ready(p *place, now time.Time) bool {
	held := w.assigned()
	return w.link != 0 && !w.leaving && w.info.State == WorkerActive && (held < w.info.Capacity || held < w.limit(p)) && !now.Before(w.fullUntil) &&
		(w.breaking == BreakerClosed || w.breaking == BreakerHalfOpen && w.probe == nil)
}

// MessageKind is what a message to a worker is about.
type MessageKind uint8

// The messages.
const (
	Assign MessageKind = iota + 1
	Stop
	Acknowledge
)

// Message is for a worker.
type Message struct {
	Kind    MessageKind
	Task    uint64
	Token   Token
	Spec    *Spec         // of Assign
	Timeout time.Duration // of Assign
}
