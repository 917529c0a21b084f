package simulation

import (
	"fmt"
	"time"

	"taskgrid/dispatcher/core"
	"taskgrid/workers"
)

// execute begins what waits, as long as there is a slot.
func (wk *worker) execute() {
	for {
		a, late := wk.slots.Next(wk.clock())
		for _, l := range late {
			wk.refuse(l, "its time ran out while it waited for a slot")
		}
		if a == nil {
			return
		}
		if !wk.chance(10) { // the simplest workers do not say it
			wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Started(link, a.Task, core.Token(a.Attempt)) })
		}
		wk.handle(a)
	}
}

// handle is the handler: it is quick, or slow, or hangs; it succeeds, or fails in one of three ways; it obeys Stop, or
// does not.
func (wk *worker) handle(a *workers.Attempt) {
	took := []time.Duration{50 * time.Microsecond, 200 * time.Microsecond, 5 * time.Millisecond, wk.upTo(2 * time.Second)}[wk.IntN(4)]
	if wk.chance(5) {
		took = time.Minute // it hangs
	}
	o := workers.Outcome{Key: a.Key, Result: fmt.Sprintf("%s did %d/%x", wk.lease, a.Task, a.Attempt), Elapsed: took}
	switch {
	case wk.chance(15):
		o.Ending, o.Message = workers.FailedRetryable, "no luck"
	case wk.chance(3):
		o.Ending, o.Message = workers.FailedPermanent, "never"
	case wk.chance(2):
		o.Ending, o.Message = workers.FailedInvalidPayload, "bad payload"
	}
	ended := false
	end := func(o workers.Outcome) func() {
		return func() {
			if !ended {
				ended = true
				wk.finish(o)
			}
		}
	}
	obeys := !wk.chance(20)
	a.Stop = func() {
		if obeys {
			wk.later(wk.upTo(100*time.Millisecond), end(workers.Outcome{Key: a.Key, Ending: workers.FailedRetryable, Message: "stopped", Elapsed: took}))
		}
	}
	wk.later(took, end(o))
}

// finish takes a handler's outcome and tells it, now and then twice.
func (wk *worker) finish(o workers.Outcome) {
	wk.referee.executed(wk, outcomeOf(o))
	if tell, dropped := wk.slots.Finish(o); dropped > 0 {
		wk.referee.fail("%s dropped %d outcomes", wk.id, dropped)
	} else if tell {
		for range 1 + wk.IntN(2)*wk.IntN(2) {
			wk.answer(func(s *core.Scheduler, link core.Link) string { return s.Outcome(link, outcomeOf(o)) })
		}
	}
	wk.execute()
}

// stop ends an attempt that is not wanted any more.
func (wk *worker) stop(key workers.Key) {
	switch a, runs := wk.slots.Cancel(key); {
	case a != nil && runs:
		a.Stop()
	case a != nil:
		wk.refuse(a, "cancelled before it started")
	}
}

func outcomeOf(o workers.Outcome) core.Outcome {
	how := map[workers.Ending]core.Ending{
		workers.Completed: core.EndResult, workers.FailedInvalidPayload: core.EndInvalidPayload,
		workers.FailedRetryable: core.EndRetryable, workers.FailedPermanent: core.EndPermanent,
	}[o.Ending]
	text := o.Result
	if o.Ending != workers.Completed {
		text = o.Message
	}
	return core.Outcome{Task: o.Task, Token: core.Token(o.Attempt), How: how, Text: text, Elapsed: o.Elapsed}
}

// forge says what no honest worker says: of a task that it has, under a token that is none of its own; or of any other.
func (wk *worker) forge() {
	if !wk.alive || wk.paused || wk.stream == nil {
		return
	}
	task, token := uint64(1+wk.IntN(30)), core.NewToken(uint64(1+wk.IntN(3)), uint32(1+wk.IntN(3)))
	if held := wk.slots.Held(); len(held) > 0 && wk.IntN(2) == 0 {
		a := held[wk.IntN(len(held))]
		task, token = a.Task, core.Token(a.Attempt)-1 // the attempt before, or of the term before
	}
	if wk.referee.assigned(wk.lease, task, token) {
		return
	}
	wk.say("%s: lies about task %d, attempt %x", wk.id, task, uint64(token))
	wk.answer(func(s *core.Scheduler, link core.Link) string {
		s.Started(link, task, token)
		if wk.IntN(2) == 0 {
			s.Refused(link, task, token, "forged")
		}
		return s.Outcome(link, core.Outcome{Task: task, Token: token, How: core.EndResult, Text: "forged"})
	})
}
