package core_test

import (
	"fmt"
	"time"

	"taskgrid/dispatcher/core"
)

// clients submit and cancel.
type clients struct {
	*world
	keys map[string]uint64 // what each key's task was
}

// submit proposes a task, and again with the same key when nobody knows what became of it.
func (c *clients) submit(spec *core.Spec) {
	d := c.leader
	if d.scheduler == nil {
		c.after(time.Second, func() { c.submit(spec) })
		return
	}
	copied := *spec
	d.propose([][]byte{core.Encode(&core.Submit{At: core.At(d.clock()), Spec: &copied})}, func(results []any) {
		if results == nil {
			if spec.Key != "" {
				c.after(time.Second, func() { c.submit(spec) })
			}
			return
		}
		c.acknowledged(spec, results[0].(core.Submitted))
	})
}

// acknowledged takes the answer to a submission.
func (c *clients) acknowledged(spec *core.Spec, s core.Submitted) {
	if s.Task == nil {
		c.referee.fail("key %q, which belongs to task %d, is refused", spec.Key, s.Other)
		return
	}
	rec := c.referee.tasks[s.Task.ID]
	if rec == nil || rec.accepted && !s.Duplicate {
		c.referee.fail("id %d was given out before, or belongs to no task", s.Task.ID)
		return
	}
	rec.accepted = true
	if id := c.keys[spec.Key]; id != 0 && id != s.Task.ID && c.leader.machine.Task(id) != nil {
		c.referee.fail("key %q belonged to task %d and belongs to task %d", spec.Key, id, s.Task.ID)
	}
	if spec.Key != "" {
		c.keys[spec.Key] = s.Task.ID
	}
}

func (c *clients) cancel(id uint64) {
	if d := c.leader; d.scheduler != nil {
		d.propose([][]byte{core.Encode(&core.Cancel{At: core.At(d.clock()), Task: id, Reason: "cancelled"})}, nil)
	}
}

// workload plans what clients do within a time.
func (c *clients) workload(within time.Duration) {
	for i := range 3 + c.rng.IntN(25) {
		spec := &core.Spec{
			Type: string(rune('a' + c.rng.IntN(3))), Payload: fmt.Sprint(i), MaxAttempts: uint32(1 + c.rng.IntN(4)),
			AttemptTimeout: 100*time.Millisecond + c.upTo(5*time.Second), Priority: int32(c.rng.IntN(10)),
		}
		if c.chance(50) {
			spec.Key = fmt.Sprint("key", i)
		}
		if c.chance(20) {
			spec.QueueTimeout = 100*time.Millisecond + c.upTo(10*time.Second)
		}
		// Many come at once, some much later.
		c.after(c.upTo(within), func() { c.submit(spec) })
		if spec.Key != "" && c.chance(30) {
			c.after(c.upTo(within), func() { c.submit(spec) })
		}
	}
	for range c.rng.IntN(15) {
		c.after(c.upTo(within), func() {
			if last := c.leader.machine.LastID(); last > 0 {
				c.cancel(last - uint64(c.rng.IntN(int(min(last, 8)))))
			}
		})
	}
}

// chaos plans what goes wrong within a time.
func (w *world) chaos(within time.Duration) {
	for range w.rng.IntN(25) {
		w.after(w.upTo(within), func() {
			if w.faults {
				w.fault(w.workers[w.rng.IntN(len(w.workers))])
			}
		})
	}
}

// fault is one thing that goes wrong.
func (w *world) fault(wk *worker) {
	switch w.rng.IntN(9) {
	case 0:
		wk.crash()
		w.after(w.upTo(20*time.Second), wk.boot)
	case 1:
		wk.pause(w.upTo(20 * time.Second))
	case 2, 3:
		if wk.stream != nil {
			wk.stream.cut()
		}
	case 4, 5:
		w.leader.lose(w.upTo(15 * time.Second))
	case 6:
		wk.drain()
		w.after(5*time.Second+w.upTo(20*time.Second), wk.boot)
	case 7: // the name service is wrong about a worker for a while
		if wk.alive && wk.entered == wk.lease {
			wk.state = []core.WorkerState{core.WorkerUnhealthy, core.WorkerOffline}[w.rng.IntN(2)]
			w.say("%s: is %v to the name service, which is wrong", wk.id, wk.state)
			w.leader.hearOf(wk)
			w.after(w.upTo(5*time.Second), func() { wk.enter(core.WorkerActive) })
		}
	case 8:
		for range 5 {
			w.after(w.upTo(time.Second), wk.forge)
		}
	}
}

// heal ends the faults: from here on every process is well, or starts.
func (w *world) heal() {
	w.say("no more faults")
	w.faults = false
	for _, wk := range w.workers {
		wk.after(25*time.Second, func() { // by then, whoever was to pause or to drain has done so
			wk.boot()
			wk.enter(core.WorkerActive)
		})
	}
}
