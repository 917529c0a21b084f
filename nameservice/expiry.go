package nameservice

import (
	"container/list"
	"fmt"
	"time"
)

// Times says how often a worker is to be heard, and what follows from which length of silence.
type Times struct {
	HeartbeatInterval time.Duration // how often workers are to send a heartbeat
	UnhealthyAfter    time.Duration // Active → Unhealthy
	OfflineAfter      time.Duration // → Offline; an announced service is forgotten by then
	ForgetAfter       time.Duration // → forgotten
}

// Validate returns an error that names the first one that is not longer than the one before it, as the flag that sets it.
func (t Times) Validate() error {
	steps := []struct {
		name string
		d    time.Duration
	}{
		{"heartbeat-interval", t.HeartbeatInterval},
		{"unhealthy-after", t.UnhealthyAfter},
		{"offline-after", t.OfflineAfter},
		{"forget-after", t.ForgetAfter},
	}
	if steps[0].d <= 0 {
		return fmt.Errorf("%s: %v: must be positive", steps[0].name, steps[0].d)
	}
	for i, step := range steps[1:] {
		if before := steps[i]; step.d <= before.d {
			return fmt.Errorf("%s: %v: must be longer than %s, %v", step.name, step.d, before.name, before.d)
		}
	}
	return nil
}

// Advance moves the registry's time to now and lets happen what is due by then: every worker's state is the one that
// its silence at now demands. Every other call does this first. A now that lies before an earlier one counts as that.
// It costs as much as there is due, not as there are workers.
func (r *Registry) Advance(now time.Time) {
	if now.After(r.now) {
		r.now = now
	}
	for e := r.due(&r.alive, r.times.UnhealthyAfter); e != nil; e = r.due(&r.alive, r.times.UnhealthyAfter) {
		r.moveTo(e, &r.unhealthy)
		r.setState(e, Unhealthy)
	}
	for e := r.due(&r.unhealthy, r.times.OfflineAfter); e != nil; e = r.due(&r.unhealthy, r.times.OfflineAfter) {
		r.moveTo(e, &r.offline)
		r.setState(e, Offline)
	}
	for e := r.due(&r.offline, r.times.ForgetAfter); e != nil; e = r.due(&r.offline, r.times.ForgetAfter) {
		r.remove(e)
	}
	r.services.expire(r.listened())
	if r.changes.settled == 0 && r.listened().Sub(r.started) >= r.times.UnhealthyAfter {
		r.changes.settle()
	}
}

// Missed moves the registry's time to now, like Advance, and leaves the last part of it out of every silence: for that
// long nobody could be heard, because this process stood still. Workers are judged as if that time had not been.
func (r *Registry) Missed(now time.Time, part time.Duration) {
	if now.After(r.now) {
		r.missed += max(0, min(part, now.Sub(r.now)))
	}
	r.Advance(now)
}

// listened is the time of a clock that stood still while nobody could be heard. All silences are measured by it.
func (r *Registry) listened() time.Time { return r.now.Add(-r.missed) }

// due returns the first worker of the queue if it has been silent for that long, or nil. The queue is in the order of
// the last heartbeat: if the first one is not due, none is.
func (r *Registry) due(queue *list.List, silence time.Duration) *entry {
	first := queue.Front()
	if first == nil {
		return nil
	}
	e := first.Value.(*entry)
	if r.listened().Sub(e.heard) < silence {
		return nil
	}
	return e
}

// hear notes that the worker gave a sign of life now. It is alive, whatever it was before.
func (r *Registry) hear(e *entry) {
	e.LastHeartbeat, e.heard = r.now, r.listened()
	r.moveTo(e, &r.alive)
	r.setState(e, e.lively())
	r.stamp(e)
}

// stamp notes that a reader now sees something else of the worker than before.
func (r *Registry) stamp(e *entry) {
	r.stamps++
	e.stamp = r.stamps
}

// moveTo puts the worker at the back of a queue. As time never goes back and workers come here in the order of their
// last heartbeats, the queue stays in that order.
func (r *Registry) moveTo(e *entry, queue *list.List) {
	if e.queue == queue {
		queue.MoveToBack(e.inQueue)
		return
	}
	if e.queue != nil {
		e.queue.Remove(e.inQueue)
	}
	e.queue, e.inQueue = queue, queue.PushBack(e)
}

// setState sets the state; if that is another one, it is a change that watchers are told of.
func (r *Registry) setState(e *entry, state State) {
	if e.State != state {
		e.State = state
		r.changes.note(e)
		r.stamp(e)
	}
}
