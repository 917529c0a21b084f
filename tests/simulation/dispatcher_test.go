package simulation

import (
	"time"

	"taskgrid/dispatcher/core"
)

// dispatcher is a dispatcher that leads, or is away. It drives the core as the package dispatcher does.
type dispatcher struct {
	*process
	cfg       core.Config
	machine   *core.Machine
	scheduler *core.Scheduler // nil while nobody leads
	term      uint64
	armed     time.Time // when the next tick is planned, by its own clock
	disk      disk
	directory directory
	links     map[core.Link]*link
	told      map[uint64][]func(*core.Task) // who waits for a task to end
}

const keptEvents = 200

func newDispatcher(w *world) *dispatcher {
	d := &dispatcher{process: w.newProcess("dispatcher"), machine: core.NewMachine(keptEvents)}
	d.disk.dispatcher = d
	d.directory.dispatcher = d
	d.cfg = core.Config{
		Strategy:    core.Strategy(d.IntN(3)),
		AdoptGrace:  time.Duration(1+d.IntN(10)) * time.Second,
		MaxFinished: []int{1, 10, 1000}[d.IntN(3)],
		MaxAge:      []time.Duration{time.Second, time.Hour}[d.IntN(2)],
		MaxBytes:    []int64{100, 1 << 20}[d.IntN(2)],
		MaxTypes:    100,
		Backoff:     func(n int) time.Duration { return time.Duration(50+d.IntN(100)) * time.Millisecond << min(n, 5) },
		Rand:        d.IntN,
		NewBreaker: func(changed func(from, to core.BreakerState)) core.Breaker {
			return &breaker{dispatcher: d, changed: changed}
		},
	}
	d.lead()
	return d
}

// lead begins a leadership.
func (d *dispatcher) lead() {
	d.begin()
	if d.skew = 0; d.faults { // another replica, another clock
		d.skew = []time.Duration{0, 0, 0, time.Duration(d.IntN(200)-100) * time.Millisecond, 30 * time.Second, -30 * time.Second}[d.IntN(6)]
	}
	if d.cfg.Again++; d.term == 0 || !d.chance(20) { // now and then the journal begins a new session in the same term
		d.term++
		d.cfg.Again = 0
	}
	d.links, d.told, d.armed = map[core.Link]*link{}, map[uint64][]func(*core.Task){}, time.Time{}
	d.scheduler = core.NewScheduler(d.cfg, d.machine, d.term, d.clock())
	d.machine.Changed = func(t *core.Task, from core.State) {
		d.referee.step(t, from)
		d.scheduler.Changed(t, from)
		d.tell(t)
	}
	d.say("dispatcher: leads, term %d, its clock is off by %v", d.term, d.skew)
	d.directory.begin()
	d.passOn()
}

// tell answers those who wait for a task, once it has ended: it is durable then.
func (d *dispatcher) tell(t *core.Task) {
	if !t.State.Terminal() {
		return
	}
	waiting := d.told[t.ID]
	delete(d.told, t.ID)
	for _, tell := range waiting {
		tell(t)
	}
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
		d.disk.propose(records, nil)
	}
	for _, id := range links {
		out := d.scheduler.Outbox(id, nil)
		if l := d.links[id]; l != nil {
			d.referee.handingOver(l.worker, out)
			l.send(out)
		}
	}
	next := d.clock().Add(time.Second / 2)
	if due, ok := d.scheduler.Wake(); ok && due.Before(next) {
		next = due
	}
	if d.armed.IsZero() || next.Before(d.armed) {
		d.arm(next)
	}
}

func (d *dispatcher) arm(at time.Time) {
	d.armed = at
	d.later(at.Sub(d.clock()), func() {
		switch {
		case !d.armed.Equal(at) || d.scheduler == nil:
		case d.clock().Before(at): // its clock is slow
			d.arm(at)
		default:
			d.armed = time.Time{}
			d.step((*core.Scheduler).Tick)
		}
	})
}

// lose ends the leadership: the process dies, or its disk fails, or another replica leads from now on.
func (d *dispatcher) lose(why string, away time.Duration) {
	if d.scheduler == nil {
		return
	}
	d.say("dispatcher: %s, away for %v", why, away)
	d.scheduler = nil
	d.machine.Changed = d.referee.step
	d.end()
	d.disk.crash()
	d.after(away, d.lead)
}
