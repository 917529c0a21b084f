package core

import "time"

// Outcome is what a worker says became of an attempt.
type Outcome struct {
	Task    uint64
	Token   Token
	How     Ending // EndResult, EndInvalidPayload, EndRetryable or EndPermanent
	Text    string // the result, or why there is none
	Elapsed time.Duration
}

// What was odd about an answer of a worker; the dispatcher counts and logs it.
const (
	OddUnknownTask   = "unknown_task"   // no attempt of this task is with any worker, and none lately ended here
	OddStale         = "stale"          // the token is not that of the current attempt
	OddForeign       = "foreign"        // the attempt is with another worker
	OddDuplicate     = "duplicate"      // it was said before
	OddBeforeStarted = "before_started" // an outcome without the word that the handler began; it counts
	OddMalformed     = "malformed"      // it makes no sense in itself
)

// Started says that a worker's handler began an attempt. It returns what was odd about that, "" if nothing was.
func (s *Scheduler) Started(link Link, task uint64, token Token) string {
	f, odd := s.find(link, task, token)
	if f == nil {
		return s.odd(odd)
	}
	if f.started {
		return s.odd(OddDuplicate)
	}
	s.begin(f)
	return ""
}

// begin notes that an attempt has started. The record of that waits for Take because of short tasks: their workers tell
// start and outcome in one message, and the record of the outcome says both.
func (s *Scheduler) begin(f *flight) {
	f.started, f.untold = true, true
	s.begun = append(s.begun, f)
}

// tellBegun proposes what has started and was not told.
func (s *Scheduler) tellBegun() {
	for _, f := range s.begun {
		s.tellStart(f)
	}
	clear(s.begun)
	s.begun = s.begun[:0]
}

func (s *Scheduler) tellStart(f *flight) {
	if f.untold {
		f.untold = false
		s.propose(&Start{At: At(s.now), Task: f.task, Token: f.token})
	}
}

// Progress says how much of an attempt is done, 0 to 1.
func (s *Scheduler) Progress(link Link, task uint64, token Token, share float32) string {
	f, odd := s.find(link, task, token)
	if f == nil {
		return s.odd(odd)
	}
	if !(share >= 0 && share <= 1) {
		return s.odd(OddMalformed)
	}
	f.progress = share
	return ""
}

// Outcome says how an attempt ended. The slot is free from now on; the worker is acknowledged when the outcome is
// durable.
func (s *Scheduler) Outcome(link Link, o Outcome) string {
	f, odd := s.find(link, o.Task, o.Token)
	if f == nil {
		if s.dismiss(link, o.Task, o.Token) && odd == OddDuplicate {
			return "" // the task was cancelled while it ran: its worker was asked to say when the handler has returned
		}
		return s.odd(odd)
	}
	if o.How == EndRetryable && !s.now.Before(f.deadline) {
		s.settle(f, false)
		o.How, o.Text = EndTimeout, f.late() // the worker noticed the deadline, and its word was faster than our timer
	}
	w := f.worker
	odd = ""
	if !f.started {
		odd = s.odd(OddBeforeStarted)
	}
	if p := w.place(s.queues[f.spec.Type]); p != nil {
		p.learn(o.Elapsed)
	}
	if o.How == EndResult {
		w.completed++
	} else {
		w.failed++
	}
	s.answer(f)
	s.end(f, o.How, o.Text)
	return odd
}

// Refused says that a worker hands an attempt back.
func (s *Scheduler) Refused(link Link, task uint64, token Token, why string) string {
	f, odd := s.find(link, task, token)
	if f == nil {
		if s.dismiss(link, task, token) {
			return ""
		}
		return s.odd(odd)
	}
	w := f.worker
	s.answer(f)
	if !f.started {
		s.leaveAlone(w)
	}
	s.end(f, EndRefused, why)
	return ""
}

// Drains says that a worker hands back whatever else it is given. It is left alone until it connects again or has another
// lease, or the name services say ACTIVE of it after they said something else: they may be away, or not have heard yet.
// Our worker never stops draining, it ends; another may, and begins a new stream. Tasks that nobody else serves wait in
// their queue meanwhile, as for a worker that is DRAINING.
func (s *Scheduler) Drains(link Link) {
	w := s.byLink[link]
	if w == nil {
		return
	}
	w.leaving = true
	s.touch(w)
	if w.patient { // what waited for something to go with does so no longer
		w.patient = false
		s.outgoing = append(s.outgoing, w)
	}
}

// Malformed takes note of a message in which there is nothing.
func (s *Scheduler) Malformed() string { return s.odd(OddMalformed) }

// answer takes a flight off its worker, which has said what became of it.
func (s *Scheduler) answer(f *flight) {
	f.phase = answered
	s.timers.stop(&f.timer)
	f.worker.fullUntil = time.Time{}
	s.release(f, false)
}

// find returns the attempt that an answer is about, if it is with the worker of this very stream and nothing has ended
// it yet. Otherwise it says why the answer does not count.
func (s *Scheduler) find(link Link, task uint64, token Token) (f *flight, odd string) {
	w := s.byLink[link]
	f = s.flights[task]
	switch {
	case w == nil:
		return nil, OddForeign // a stream that was replaced
	case f == nil && s.m.Task(task) == nil:
		return nil, OddUnknownTask
	case f == nil && s.m.Task(task).Attempt == token && s.m.Task(task).State.Terminal():
		return nil, OddDuplicate
	case f == nil || f.token != token:
		return nil, OddStale
	case f.worker != w:
		return nil, OddForeign
	case f.phase != aloft:
		return nil, OddDuplicate
	}
	return f, ""
}

// dismiss tells a worker that nobody waits for what it says of an attempt, and frees the slot if the attempt still held
// one. It tells whether it did. While an outcome of that attempt is on the way to the disk, the acknowledgement waits.
func (s *Scheduler) dismiss(link Link, task uint64, token Token) bool {
	w := s.byLink[link]
	if w == nil {
		return false
	}
	if f := s.flights[task]; f != nil && f.token == token && f.worker == w && f.phase == answered {
		return false
	}
	s.send(w, Message{Kind: Acknowledge, Task: task, Token: token})
	f, held := w.ghosts[ghost{task, token}]
	if held {
		delete(w.ghosts, ghost{task, token})
		w.slow--
		s.settle(f, true)
		s.look(w)
	}
	return held
}

// odd counts an answer of a worker that does not count, or that should not have come, and returns the reason.
func (s *Scheduler) odd(reason string) string {
	s.oddities[reason]++
	return reason
}
