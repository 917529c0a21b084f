package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	"taskgrid/internal/process"
	"taskgrid/internal/pulse"
)

// Dispatcher is one replica. New opens its journal; Run makes it work; its gRPC face is a Server.
type Dispatcher struct {
	cfg     Config
	log     *slog.Logger
	journal *journal.Journal
	started time.Time
	metrics *metrics

	mu        sync.Mutex
	machine   *core.Machine
	scheduler *core.Scheduler // nil while this replica does not lead
	term      uint64          // of the leadership, or of the last one
	again     uint32          // how many leaderships before it had the same term
	inherited uint64          // the last event from before this leadership, or the last one
	view      *core.View
	lanes     map[core.Link]*lane  // open streams to workers
	patient   []*lane              // have only what may wait for something to go with
	waiters   map[uint64][]*waiter // by task
	callers   map[*waiter]struct{} // between await and leave
	reserved  int                  // tasks being submitted: proposed and not yet applied
	reservedB int64                // bytes of their payloads
	owed      [][]byte             // decided by the scheduler and not taken by the journal yet
	hurry     bool                 // somebody waits for some of them
	woken     []chan struct{}      // to be signalled when the lock is given back
	armed     time.Time
	pulse     pulse.Pulse   // beats with each step of a leader
	still     time.Duration // for how long this process stood still, and the log does not know yet
	broken    error         // the journal holds what this program cannot read

	streams atomic.Int64       // calls that stay open
	rearm   chan struct{}      // holds one: the time to tick has come nearer
	changed chan struct{}      // holds one: the view has changed, or the leadership
	news    *broadcast         // there are new events
	lines   process.LineBudget // for the log, about what happens to tasks and workers
	oddLog  process.LineBudget // for the log, about odd answers: nonsense is not to crowd out what happens
}

// New opens the journal. Close must be called if Run is not.
func New(cfg Config) (*Dispatcher, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	d := &Dispatcher{
		cfg: cfg, log: cfg.Logger, started: time.Now(),
		machine: core.NewMachine(cfg.KeepEvents), view: core.NewView(),
		lanes: map[core.Link]*lane{}, waiters: map[uint64][]*waiter{}, callers: map[*waiter]struct{}{},
		rearm: make(chan struct{}, 1), changed: make(chan struct{}, 1), news: newBroadcast(),
	}
	d.machine.Changed = d.stepChanged
	d.metrics = newMetrics(cfg.Registerer, d)
	j := cfg.Journal
	j.Logger, j.Registerer, j.Version, j.Service = cfg.Logger, cfg.Registerer, cfg.Version, cfg.Service
	var err error
	if d.journal, err = journal.Open(j, (*replica)(d)); err != nil {
		return nil, err
	}
	return d, nil
}

// Close closes what New opened, after Run has returned or when it is not going to be called.
func (d *Dispatcher) Close() error { return d.journal.Close() }

// Run works until ctx ends. An error means that this replica cannot go on: its disk failed, or holds what it cannot
// read.
func (d *Dispatcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.journal.Run(ctx) })
	g.Go(func() error { return d.follow(ctx) })
	g.Go(func() error { return d.watchNameServices(ctx) })
	g.Go(func() error { return d.news.run(ctx) })
	g.Go(func() error { return d.logEvents(ctx) })
	g.Go(func() error { return d.keepMembership(ctx) })
	return g.Wait()
}

// step lets do change the scheduler, and passes on what it decided. It returns false, and does nothing, while this
// replica does not lead.
func (d *Dispatcher) step(do func(*core.Scheduler)) bool {
	d.mu.Lock()
	defer d.unlock()
	if d.scheduler == nil {
		return false
	}
	d.begin()
	do(d.scheduler)
	d.passOn()
	return true
}

// unlock gives the lock back, and wakes those whom what happened under it concerns. They want the lock first of all: woken
// before, they would find it taken, and each would be put to sleep and woken again.
func (d *Dispatcher) unlock() {
	var few [8]chan struct{}
	woken := append(few[:0], d.woken...)
	clear(d.woken)
	d.woken = d.woken[:0]
	d.mu.Unlock()
	for _, c := range woken {
		signal(c)
	}
}

// longestStep is how far apart two steps of a leader are that runs, on a busy machine. When more time than that goes by
// without one, the process stood still. No connection is given up sooner.
const longestStep = 4 * maxTick

// begin tells the scheduler the time, and of a pause of this process before anything else that has happened. It is called
// under the lock.
func (d *Dispatcher) begin() {
	now := time.Now()
	d.scheduler.Begin(now)
	if still := d.pulse.Beat(now, longestStep); still > 0 {
		d.still += still
		d.scheduler.Woke()
	}
}

// passOn hands over what can be handed over, and gives what the scheduler decided to the journal and to the workers'
// streams. It is called under the lock, so that records are proposed in the order in which they were decided.
func (d *Dispatcher) passOn() {
	d.scheduler.Flush()
	d.hurry = d.scheduler.Hurry() || d.hurry
	records, links := d.scheduler.Take()
	if d.owed == nil {
		d.owed = records
	} else {
		d.owed = append(d.owed, records...)
	}
	d.proposeOwed()
	for _, link := range links {
		switch l := d.lanes[link]; {
		case l == nil:
		case d.scheduler.Patient(link):
			d.patient = append(d.patient, l)
		default:
			d.woken = append(d.woken, l.wake)
		}
	}
	if due, ok := d.scheduler.Wake(); ok && (d.armed.IsZero() || due.Before(d.armed)) {
		d.armed = due
		signal(d.rearm)
	}
}

// hurryPatient sends what waits for something to go with: at each tick, and whenever a worker has changed, because one
// that drains waits for it.
func (d *Dispatcher) hurryPatient() {
	for _, l := range d.patient {
		signal(l.wake)
	}
	clear(d.patient)
	d.patient = d.patient[:0]
}

// proposeBytes is about how much one call to the journal carries, in bytes. A call becomes one entry, and raft sends a
// follower up to 16 entries in a message.
const proposeBytes = 1 << 20

// proposeOwed gives the journal what the scheduler decided. What a full one does not take stays owed, and is offered
// again with the next step, at the latest with the next tick: a submission can be refused, a decision must not be lost.
// There are at most a few for each task that runs or waits for its retry, and for each worker.
func (d *Dispatcher) proposeOwed() {
	for len(d.owed) > 0 {
		n, size := 0, 0
		for n < len(d.owed) && (n == 0 || size+len(d.owed[n]) <= proposeBytes) {
			size += len(d.owed[n])
			n++
		}
		propose := d.journal.Append
		if d.hurry {
			propose = func(records [][]byte) error { return d.journal.Propose(records, nil) }
		}
		switch err := propose(d.owed[:n]); {
		case errors.Is(err, journal.ErrFull):
			return
		case err != nil:
			d.owed = nil // this leadership is ending; the next one decides anew
			return
		}
		d.owed = d.owed[n:]
	}
	d.owed, d.hurry = nil, false
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// replica is the Dispatcher as the journal sees it.
type replica Dispatcher

// applyAtOnce is how many records are applied before the lock is let go: some 0.3 ms. What others do meanwhile, a worker's
// outcome of another type for instance, does not wait for the rest of a large entry.
const applyAtOnce = 128

// Apply implements journal.StateMachine: records are durable and become true here.
func (r *replica) Apply(records [][]byte) []any {
	d := (*Dispatcher)(r)
	results := make([]any, len(records))
	for rest := results; len(rest) > 0; runtime.Gosched() {
		n := min(applyAtOnce, len(rest))
		d.apply(records[:n], rest[:n])
		records, rest = records[n:], rest[n:]
	}
	return results
}

// apply applies some of the records of an entry.
func (d *Dispatcher) apply(records [][]byte, results []any) {
	d.mu.Lock()
	defer d.unlock()
	if d.broken != nil {
		return
	}
	if d.scheduler != nil {
		d.begin()
	}
	for i, rec := range records {
		result, err := d.machine.Apply(rec)
		if err != nil {
			d.broken = fmt.Errorf("dispatcher: a record of the journal cannot be applied: %w", err)
			d.stepDown()
			signal(d.changed)
			return
		}
		results[i] = result
	}
	if d.scheduler != nil {
		d.passOn()
	}
	d.news.tell()
}

// Snapshot implements journal.StateMachine.
func (r *replica) Snapshot() io.WriterTo {
	d := (*Dispatcher)(r)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.Snapshot()
}

// Restore implements journal.StateMachine.
func (r *replica) Restore(from io.Reader) error {
	d := (*Dispatcher)(r)
	fresh := core.NewMachine(d.cfg.KeepEvents)
	if err := fresh.Restore(from); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh.Changed = d.machine.Changed
	d.machine = fresh
	if d.scheduler != nil { // a backup was restored: what this leader had decided was about another state
		d.stepDown()
	}
	return nil
}

// stepChanged follows each step of the machine: it tells the scheduler, and whoever waits for the task.
func (d *Dispatcher) stepChanged(t *core.Task, from core.State) {
	if d.scheduler != nil {
		d.scheduler.Changed(t, from)
	}
	d.metrics.observe(t, from)
	if t.State.Terminal() {
		d.tellWaiters(t)
	}
}
