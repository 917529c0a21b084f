package core_test

import (
	"bytes"
	"errors"
	"time"

	"taskgrid/dispatcher/core"
)

// dispatcher is a dispatcher that leads, or is away. It drives the core as the package dispatcher does.
type dispatcher struct {
	*world
	cfg       core.Config
	machine   *core.Machine
	scheduler *core.Scheduler // nil while nobody leads
	term      uint64
	session   int           // of proposals: what was proposed in another one is void
	skew      time.Duration // how far the leader's clock is off
	armed     time.Time     // when the next tick is planned

	durable  [][]byte // the journal: everything ever applied
	proposed []proposal
	writing  bool
	snapshot []byte // of a moment
	covered  int    // how many of the durable records it covers
	streams  map[core.Link]*stream
	dials    int
}

// proposal is what one call proposed: durable as a whole or not at all.
type proposal struct {
	records [][]byte
	done    func(results []any) // nil results: nobody knows
}

const keptEvents = 200

func newDispatcher(w *world) *dispatcher {
	d := &dispatcher{world: w, machine: core.NewMachine(keptEvents)}
	d.cfg = core.Config{
		Strategy:    core.Strategy(w.rng.IntN(3)),
		AdoptGrace:  time.Duration(1+w.rng.IntN(10)) * time.Second,
		MaxFinished: []int{1, 10, 1000}[w.rng.IntN(3)],
		MaxAge:      []time.Duration{time.Second, time.Hour}[w.rng.IntN(2)],
		MaxBytes:    []int64{100, 1 << 20}[w.rng.IntN(2)],
		MaxTypes:    100,
		Backoff:     func(n int) time.Duration { return time.Duration(50+w.rng.IntN(100)) * time.Millisecond << min(n, 5) },
		Rand:        w.rng.IntN,
		NewBreaker: func(changed func(from, to core.BreakerState)) core.Breaker {
			return &simBreaker{world: w, changed: changed}
		},
	}
	d.lead()
	return d
}

// clock is what the leader's clock says.
func (d *dispatcher) clock() time.Time { return d.now.Add(d.skew) }

// lead begins a leadership.
func (d *dispatcher) lead() {
	if d.faults {
		d.skew = []time.Duration{0, 0, 0, time.Duration(d.rng.IntN(200)-100) * time.Millisecond, 30 * time.Second, -30 * time.Second}[d.rng.IntN(6)]
	}
	if d.cfg.Again++; d.term == 0 || !d.chance(20) { // now and then the journal begins a new session in the same term
		d.term++
		d.cfg.Again = 0
	}
	d.session++
	d.streams, d.armed = map[core.Link]*stream{}, time.Time{}
	d.scheduler = core.NewScheduler(d.cfg, d.machine, d.term, d.clock())
	d.machine.Changed = func(t *core.Task, from core.State) {
		d.referee.step(t, from)
		d.scheduler.Changed(t, from)
	}
	d.say("leader: term %d, session %d, clock off by %v", d.term, d.session, d.skew)
	for _, wk := range d.workers {
		d.hearOf(wk)
	}
	d.passOn()
}

// step lets the scheduler do something, if there is one.
func (d *dispatcher) step(do func(s *core.Scheduler)) {
	if d.scheduler == nil {
		return
	}
	d.scheduler.Begin(d.clock())
	do(d.scheduler)
	d.passOn()
}

// passOn carries out what the scheduler wants.
func (d *dispatcher) passOn() {
	d.scheduler.Flush()
	records, links := d.scheduler.Take()
	if len(records) > 0 {
		d.propose(records, nil)
	}
	for _, link := range links {
		out := d.scheduler.Outbox(link, nil)
		if s := d.streams[link]; s != nil {
			d.referee.handingOver(s.worker, out)
			s.toWorker(out)
		}
	}
	next := d.now.Add(time.Second / 2)
	if due, ok := d.scheduler.Wake(); ok && due.Add(-d.skew).Before(next) {
		next = due.Add(-d.skew)
	}
	if d.armed.IsZero() || next.Before(d.armed) {
		d.arm(next)
	}
}

func (d *dispatcher) arm(at time.Time) {
	session := d.session
	d.armed = at
	d.at(later(at, d.now), func() {
		if session == d.session && d.armed.Equal(at) && d.scheduler != nil {
			d.armed = time.Time{}
			d.step((*core.Scheduler).Tick)
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// propose hands records to the journal. It writes all that waits at once, which takes a while.
func (d *dispatcher) propose(records [][]byte, done func([]any)) {
	d.proposed = append(d.proposed, proposal{records, done})
	if d.writing {
		return
	}
	d.writing = true
	took, session := 100*time.Microsecond+d.upTo(5*time.Millisecond), d.session
	if d.chance(1) {
		took += d.upTo(3 * time.Second) // a slow disk
	}
	d.after(took, func() {
		if session == d.session {
			d.writing = false
			d.commit(len(d.proposed))
		}
	})
}

// commit makes the first n proposals durable and applies them.
func (d *dispatcher) commit(n int) {
	batch := d.proposed[:n:n]
	d.proposed = d.proposed[n:]
	if d.scheduler != nil {
		d.scheduler.Begin(d.clock())
	}
	results := make([][]any, len(batch))
	for i, p := range batch {
		for _, rec := range p.records {
			result, err := d.machine.Apply(rec)
			if err != nil {
				d.referee.fail("a record cannot be applied: %v", err)
			}
			d.durable = append(d.durable, rec)
			results[i] = append(results[i], result)
		}
	}
	for i, p := range batch {
		if p.done != nil && d.scheduler != nil {
			p.done(results[i])
		} else if p.done != nil {
			p.done(nil)
		}
	}
	if d.scheduler != nil {
		d.passOn()
	}
}

// lose ends the leadership. Of what was proposed, some may be durable without anybody having been told.
func (d *dispatcher) lose(away time.Duration) {
	if d.scheduler == nil {
		return
	}
	survives := 0
	if d.writing {
		survives = d.rng.IntN(len(d.proposed) + 1)
	}
	d.say("leader: lost for %v; of %d proposals %d are durable", away, len(d.proposed), survives)
	d.scheduler = nil
	d.machine.Changed = d.referee.step
	d.writing = false
	d.session++
	for _, wk := range d.workers {
		if wk.stream != nil {
			wk.stream.cut()
		}
	}
	d.commit(survives)
	void := d.proposed
	d.proposed = nil
	for _, p := range void {
		if p.done != nil {
			p.done(nil)
		}
	}
	d.recover()
	d.after(away, d.lead)
}

// recover makes the machine of the next leader: another replica's, or what snapshot and journal give.
func (d *dispatcher) recover() {
	before := d.image(d.machine)
	kind := d.rng.IntN(3)
	if kind == 0 {
		return
	}
	m := core.NewMachine(keptEvents)
	rest := d.durable
	if kind == 1 && d.snapshot != nil {
		if err := m.Restore(bytes.NewReader(d.snapshot)); err != nil {
			d.referee.fail("restore: %v", err)
		}
		rest = rest[d.covered:]
	}
	for _, rec := range rest {
		if _, err := m.Apply(rec); err != nil {
			d.referee.fail("replay: %v", err)
		}
	}
	if !bytes.Equal(before, d.image(m)) {
		d.referee.fail("what the journal gives (kind %d, %d records replayed) is not what the leader had", kind, len(rest))
	}
	d.machine = m
	d.snapshot, d.covered = before, len(d.durable)
}

func (d *dispatcher) image(m *core.Machine) []byte {
	var buf bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&buf); err != nil {
		d.referee.fail("snapshot: %v", err)
	}
	return buf.Bytes()
}

// simBreaker opens after three faults in a row, for two seconds.
type simBreaker struct {
	*world
	changed    func(from, to core.BreakerState)
	state      core.BreakerState
	faults     int
	until      time.Time
	probing    bool
	generation int
}

func (b *simBreaker) State() core.BreakerState {
	if b.state == core.BreakerOpen && !b.now.Before(b.until) {
		b.become(core.BreakerHalfOpen)
	}
	return b.state
}

var errBreaker = errors.New("the breaker lets nothing through")

func (b *simBreaker) Allow() (func(bool), error) {
	state := b.State()
	if state == core.BreakerOpen || state == core.BreakerHalfOpen && b.probing {
		return nil, errBreaker
	}
	b.probing = state == core.BreakerHalfOpen
	generation, told := b.generation, false
	return func(ok bool) {
		if told {
			b.referee.fail("a breaker was told twice of the same attempt")
		}
		told = true
		if b.State(); generation == b.generation {
			b.count(ok)
		}
	}, nil
}

func (b *simBreaker) count(ok bool) {
	switch {
	case ok && b.state == core.BreakerHalfOpen:
		b.become(core.BreakerClosed)
	case ok:
		b.faults = 0
	default:
		if b.faults++; b.state == core.BreakerHalfOpen || b.faults >= 3 {
			b.become(core.BreakerOpen)
		}
	}
}

func (b *simBreaker) become(to core.BreakerState) {
	from := b.state
	b.state, b.faults, b.probing, b.until = to, 0, false, b.now.Add(2*time.Second)
	b.generation++
	b.changed(from, to)
}
