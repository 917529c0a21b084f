package core_test

import (
	"fmt"
	"slices"
	"time"

	"taskgrid/dispatcher/core"
)

// worker is a model of a worker process, and of the entry that the name service has for it.
type worker struct {
	*world
	id       string
	types    []string
	capacity int
	window   int

	// The process.
	runs     int // how often it was started
	lease    string
	alive    bool
	draining bool
	paused   bool
	missed   []func() // what came while it was paused
	stream   *stream  // the current one, as far as it knows
	attempts []*attempt
	outcomes []core.Outcome // not acknowledged

	// The name service's entry.
	state   core.WorkerState // WorkerUnknown: there is none
	entered string           // the lease that it has heard of
	told    core.WorkerState // what the leader has heard
	dialled dial             // who keeps the stream
}

// attempt is one that the worker runs, or keeps waiting.
type attempt struct {
	task    uint64
	token   core.Token
	spec    *core.Spec
	started bool
	stopped bool
}

func newWorker(w *world, i int) *worker {
	wk := &worker{world: w, id: fmt.Sprintf("w%d", i), capacity: 1 + w.rng.IntN(3), window: []int{0, 0, 5}[w.rng.IntN(3)]}
	wk.types = [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "c"}, {"a", "b", "c"}}[w.rng.IntN(5)]
	if i == 0 {
		wk.types = []string{"a", "b", "c"} // so that each has one
	}
	w.after(w.upTo(time.Second), wk.boot)
	return wk
}

// wake does something now, or when the process goes on.
func (wk *worker) wake(do func()) {
	if wk.paused {
		wk.missed = append(wk.missed, do)
		return
	}
	do()
}

// boot starts the process, with nothing of what an earlier one had.
func (wk *worker) boot() {
	if wk.alive {
		return
	}
	wk.runs++
	wk.alive, wk.draining, wk.lease = true, false, fmt.Sprintf("%s-%d", wk.id, wk.runs)
	wk.say("%s: starts, capacity %d, window %d, types %v", wk.id, wk.capacity, wk.window, wk.types)
	wk.enter(core.WorkerActive)
}

// crash ends it. Its name service entry fades.
func (wk *worker) crash() {
	if !wk.alive {
		return
	}
	wk.say("%s: crashes with %d attempts, %d outcomes", wk.id, len(wk.attempts), len(wk.outcomes))
	wk.alive, wk.paused, wk.missed = false, false, nil
	wk.attempts, wk.outcomes = nil, nil
	if wk.stream != nil {
		wk.stream.cut()
		wk.stream = nil
	}
	wk.fade()
}

// pause stops it for a while, as SIGSTOP does.
func (wk *worker) pause(d time.Duration) {
	if !wk.alive || wk.paused {
		return
	}
	wk.say("%s: is paused for %v", wk.id, d)
	wk.paused = true
	runs := wk.runs
	wk.fade()
	wk.after(d, func() {
		if runs != wk.runs || !wk.alive {
			return
		}
		wk.say("%s: goes on", wk.id)
		wk.paused = false
		missed := wk.missed
		wk.missed = nil
		for _, do := range missed {
			do()
		}
		wk.enter(core.WorkerActive)
	})
}

// enter is a heartbeat or a registration: the name service hears of it, and then the leader.
func (wk *worker) enter(state core.WorkerState) {
	lease := wk.lease
	wk.after(wk.upTo(100*time.Millisecond), func() {
		if !wk.alive || wk.lease != lease {
			return
		}
		wk.state, wk.entered = state, lease
		wk.leader.hearOf(wk)
	})
}

// fade is the silence after the last heartbeat.
func (wk *worker) fade() {
	lease := wk.lease
	for _, step := range []struct {
		after time.Duration
		state core.WorkerState
	}{{3 * time.Second, core.WorkerUnhealthy}, {10 * time.Second, core.WorkerOffline}, {60 * time.Second, core.WorkerUnknown}} {
		wk.after(step.after, func() {
			if wk.entered == lease && (!wk.alive || wk.paused || wk.lease != lease) {
				wk.state = step.state
				wk.say("%s: is %v to the name service", wk.id, step.state)
				wk.leader.hearOf(wk)
			}
		})
	}
}

// listed returns what the name service says.
func (wk *worker) listed() (info core.WorkerInfo, ok bool) {
	return core.WorkerInfo{ID: wk.id, LeaseID: wk.entered, Address: "a", Types: wk.types, Capacity: wk.capacity, State: wk.state}, wk.state != core.WorkerUnknown
}

// attach takes a new stream and returns what belongs into Hello.
func (wk *worker) attach(s *stream) (held []core.Held, outcomes []core.Outcome) {
	wk.stream = s
	for _, a := range wk.attempts {
		held = append(held, core.Held{Task: a.task, Token: a.token, Started: a.started})
	}
	return held, slices.Clone(wk.outcomes)
}

// answer sends something on the current stream. Without one it is lost; what matters is in the next Hello.
func (wk *worker) answer(do func(s *core.Scheduler, link core.Link) string) {
	s := wk.stream
	if s == nil || s.broken {
		return
	}
	s.toLeader(func() {
		wk.leader.step(func(sched *core.Scheduler) { do(sched, s.link) })
	})
}

// receive takes messages of the leader.
func (wk *worker) receive(messages []core.Message) {
	for _, m := range messages {
		switch m.Kind {
		case core.Assign:
			wk.assign(m)
		case core.Stop:
			wk.stop(m)
		case core.Acknowledge:
			wk.outcomes = slices.DeleteFunc(wk.outcomes, func(o core.Outcome) bool { return o.Task == m.Task && o.Token == m.Token })
		}
	}
}

func (wk *worker) find(task uint64, token core.Token) *attempt {
	for _, a := range wk.attempts {
		if a.task == task && a.token == token {
			return a
		}
	}
	return nil
}

// assign takes an attempt, or hands it back.
func (wk *worker) assign(m core.Message) {
	if wk.find(m.Task, m.Token) != nil {
		return // it is at it
	}
	if i := slices.IndexFunc(wk.outcomes, func(o core.Outcome) bool { return o.Task == m.Task && o.Token == m.Token }); i >= 0 {
		o := wk.outcomes[i] // it has done it
		wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Outcome(link, o) })
		return
	}
	full := len(wk.attempts) >= wk.capacity+wk.window
	if full {
		wk.referee.fail("%s has %d slots and keeps %d waiting, and was handed task %d beyond them", wk.id, wk.capacity, wk.window, m.Task)
	}
	if wk.draining || wk.chance(5) {
		wk.refuse(m.Task, m.Token)
		return
	}
	wk.attempts = append(wk.attempts, &attempt{task: m.Task, token: m.Token, spec: m.Spec})
	wk.startNext()
}

func (wk *worker) refuse(task uint64, token core.Token) {
	wk.say("%s: hands back task %d, attempt %x", wk.id, task, uint64(token))
	wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Refused(link, task, token, "handed back") })
}

// startNext runs what waits, as long as there is a slot.
func (wk *worker) startNext() {
	running := 0
	for _, a := range wk.attempts {
		if a.started {
			running++
		}
	}
	for _, a := range wk.attempts {
		if a.started || running == wk.capacity {
			continue
		}
		running++
		a.started = true
		if !wk.chance(10) { // the simplest workers do not say it
			wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Started(link, a.task, a.token) })
		}
		wk.execute(a)
	}
}

// execute is the handler.
func (wk *worker) execute(a *attempt) {
	took := []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, 5 * time.Millisecond, wk.upTo(2 * time.Second)}[wk.rng.IntN(4)]
	if wk.chance(5) {
		took = time.Hour // it hangs
	}
	o := core.Outcome{Task: a.task, Token: a.token, How: core.EndResult, Text: fmt.Sprintf("%s did %d/%x", wk.lease, a.task, uint64(a.token)), Elapsed: took}
	switch {
	case wk.chance(15):
		o.How, o.Text = core.EndRetryable, "no luck"
	case wk.chance(3):
		o.How, o.Text = core.EndPermanent, "never"
	case wk.chance(2):
		o.How, o.Text = core.EndInvalidPayload, "bad payload"
	}
	wk.referee.executed(wk.id, wk.lease, o)
	wk.later(a, took, func() { wk.finish(a, o) })
}

// later does something about an attempt that is still there then.
func (wk *worker) later(a *attempt, d time.Duration, do func()) {
	runs := wk.runs
	wk.after(d, func() {
		wk.wake(func() {
			if runs == wk.runs && wk.alive && slices.Contains(wk.attempts, a) {
				do()
			}
		})
	})
}

func (wk *worker) drop(a *attempt) {
	wk.attempts = slices.DeleteFunc(wk.attempts, func(other *attempt) bool { return other == a })
}

func (wk *worker) finish(a *attempt, o core.Outcome) {
	wk.drop(a)
	wk.outcomes = append(wk.outcomes, o)
	for range 1 + wk.rng.IntN(2)*wk.rng.IntN(2) { // now and then it says it twice
		wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Outcome(link, o) })
	}
	wk.startNext()
}

// stop ends an attempt, at once if it waits, soon if it runs, or not at all: then it ends as it would have.
func (wk *worker) stop(m core.Message) {
	a := wk.find(m.Task, m.Token)
	if a == nil || a.stopped {
		return
	}
	a.stopped = true
	if a.started && wk.chance(20) {
		wk.later(a, 20*time.Second, func() { wk.handBack(a) })
		return
	}
	wk.later(a, wk.upTo(100*time.Millisecond), func() { wk.handBack(a) })
}

func (wk *worker) handBack(a *attempt) {
	wk.drop(a)
	wk.refuse(a.task, a.token)
	wk.startNext()
}

// drain is SIGTERM: nothing new, what runs may finish, the rest is handed back, and then it goes.
func (wk *worker) drain() {
	if !wk.alive || wk.draining || wk.paused {
		return
	}
	wk.say("%s: drains", wk.id)
	wk.draining = true
	wk.enter(core.WorkerDraining)
	runs := wk.runs
	wk.after(3*time.Second, func() {
		wk.wake(func() {
			if runs != wk.runs || !wk.alive {
				return
			}
			for _, a := range slices.Clone(wk.attempts) {
				wk.drop(a)
				wk.refuse(a.task, a.token)
			}
			wk.after(500*time.Millisecond, func() {
				if runs == wk.runs && wk.alive {
					wk.state = core.WorkerUnknown // it deregisters
					wk.leader.hearOf(wk)
					wk.crash()
				}
			})
		})
	})
}

// forge says what no honest worker says, of tasks that it does not have.
func (wk *worker) forge() {
	task, token := uint64(1+wk.rng.IntN(30)), core.NewToken(uint64(1+wk.rng.IntN(3)), uint32(1+wk.rng.IntN(3)))
	if wk.find(task, token) != nil || wk.stream == nil || wk.stream.broken {
		return
	}
	if slices.ContainsFunc(wk.outcomes, func(o core.Outcome) bool { return o.Task == task && o.Token == token }) {
		return
	}
	if wk.referee.assigned(wk.lease, task, token) {
		return // it may be on its way
	}
	wk.say("%s: lies about task %d, attempt %x", wk.id, task, uint64(token))
	wk.answer(func(s *core.Scheduler, link core.Link) string {
		s.Started(link, task, token)
		s.Refused(link, task, token, "forged")
		return s.Outcome(link, core.Outcome{Task: task, Token: token, How: core.EndResult, Text: "forged"})
	})
}
