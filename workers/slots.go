package workers

import (
	"cmp"
	"slices"
	"time"
)

// Key names one attempt of one task.
type Key struct {
	Task    uint64
	Attempt uint64 // the fencing token, opaque here
}

// Attempt is one hand-over of a task to this worker.
type Attempt struct {
	Key
	Type      string
	Payload   string
	RequestID string
	Deadline  time.Time // when the dispatcher gives it up

	// Stop ends the handler's context. Whoever runs the attempt sets it after Next; Slots never calls it.
	Stop func()

	state   attemptState
	begun   uint64 // the order of beginning; 0 while it waits
	overdue bool   // it was named by Overdue
}

// attemptState says what an attempt in a slot is good for.
type attemptState uint8

const (
	waiting    attemptState = iota // for a free slot
	running                        // its handler began, its outcome is wanted
	cancelled                      // its handler runs on, the dispatcher does not want the outcome
	handedBack                     // its handler runs on, the attempt was given back to the dispatcher
)

// Limits bound what a worker holds.
type Limits struct {
	Capacity     int // attempts that run at the same time
	Window       int // attempts that wait beyond those
	Outcomes     int // outcomes kept for a dispatcher that does not acknowledge them
	OutcomeBytes int // the same in bytes of results and messages
}

// Answer is what becomes of an assignment.
type Answer uint8

// The answers of Offer.
const (
	Accepted Answer = iota
	Repeated        // the attempt is here already: the assignment is ignored
	NoSlot          // refused: capacity and window are full
	Draining        // refused: the worker takes nothing new
)

// Slots are the rules of what a worker holds: attempts that wait, attempts that run, outcomes that the dispatcher has
// not acknowledged. An accepted attempt leaves it exactly once: with an outcome, or handed back.
//
// It has no goroutine, no lock and no clock: its owner calls it from one place at a time and passes the time in.
type Slots struct {
	limits   Limits
	held     map[Key]*Attempt // at most Capacity + Window
	queue    []*Attempt       // the waiting ones among held, oldest first
	running  int              // the others among held
	begun    uint64           // how many ever began
	outcomes ledger
	draining bool
}

// NewSlots returns empty slots.
func NewSlots(limits Limits) *Slots {
	return &Slots{limits: limits, held: map[Key]*Attempt{}, outcomes: newLedger(limits.Outcomes, limits.OutcomeBytes)}
}

// Offer takes an assignment in, if it can. Slots own the attempt from then on.
func (s *Slots) Offer(a *Attempt) Answer {
	switch {
	case s.held[a.Key] != nil || s.outcomes.has(a.Key):
		return Repeated
	case s.draining:
		return Draining
	case len(s.held) >= s.limits.Capacity+s.limits.Window:
		return NoSlot
	}
	a.state = waiting
	s.held[a.Key] = a
	s.queue = append(s.queue, a)
	return Accepted
}

// Next begins the attempt that has waited longest, if a slot is free; nil: there is nothing to begin. Those whose time
// ran out while they waited are handed back.
func (s *Slots) Next(now time.Time) (next *Attempt, late []*Attempt) {
	for s.running < s.limits.Capacity && len(s.queue) > 0 {
		a := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		if !now.Before(a.Deadline) {
			delete(s.held, a.Key)
			late = append(late, a)
			continue
		}
		s.running++
		s.begun++
		a.state, a.begun = running, s.begun
		return a, late
	}
	return nil, late
}

// Finish frees the slot of an attempt whose handler returned. tell says whether the dispatcher is to hear of it, which
// it is not when the attempt was handed back. An outcome that is wanted is kept until Acknowledge or Cancel; dropped
// counts the older outcomes that had to go for it.
func (s *Slots) Finish(o Outcome) (tell bool, dropped int) {
	a := s.held[o.Key]
	if a == nil || a.state == waiting {
		return false, 0
	}
	delete(s.held, o.Key)
	s.running--
	switch a.state {
	case handedBack:
		return false, 0
	case cancelled: // told, because the slot is free again, but nobody is going to acknowledge it
		return true, 0
	}
	return true, s.outcomes.add(o)
}

// Cancel ends what the dispatcher does not want any more. An attempt that waits is handed back; of one that runs, the
// caller stops the handler; an outcome is forgotten. It returns the attempt in the first two cases, and whether it runs.
func (s *Slots) Cancel(k Key) (a *Attempt, runs bool) {
	s.outcomes.remove(k)
	a = s.held[k]
	switch {
	case a == nil:
		return nil, false
	case a.state == waiting:
		i := slices.Index(s.queue, a)
		s.queue = slices.Delete(s.queue, i, i+1)
		delete(s.held, k)
		return a, false
	case a.state == running:
		a.state = cancelled
	}
	return a, true
}

// Acknowledge forgets an outcome.
func (s *Slots) Acknowledge(k Key) { s.outcomes.remove(k) }

// Drain makes the slots refuse everything new and hands back what waits.
func (s *Slots) Drain() (back []*Attempt) {
	s.draining = true
	back, s.queue = s.queue, nil
	for _, a := range back {
		delete(s.held, a.Key)
	}
	return back
}

// HandBack gives the running attempts back, in the order of their beginning. The caller stops their handlers; what they
// still return counts for nothing.
func (s *Slots) HandBack() (back []*Attempt) {
	back = s.wanted()
	for _, a := range back {
		a.state = handedBack
	}
	return back
}

// Held lists what a dispatcher may still count on: first the attempts that run, in the order of their beginning, then
// those that wait, oldest first.
func (s *Slots) Held() []*Attempt { return append(s.wanted(), s.queue...) }

// Started says whether the handler of a held attempt began.
func (a *Attempt) Started() bool { return a.begun > 0 }

// Unacknowledged lists the outcomes that are kept, oldest first.
func (s *Slots) Unacknowledged() []Outcome { return s.outcomes.all() }

// Overdue lists the attempts whose handlers have not ended by their deadline and a grace after it, each once. Their
// slots stay taken: a goroutine cannot be killed.
func (s *Slots) Overdue(now time.Time, grace time.Duration) (late []*Attempt) {
	for _, a := range s.held {
		if a.Started() && !a.overdue && now.Sub(a.Deadline) > grace {
			a.overdue = true
			late = append(late, a)
		}
	}
	slices.SortFunc(late, byBeginning)
	return late
}

// Load is how full the slots are.
type Load struct {
	Waiting        int // attempts that wait for a slot
	Running        int // slots taken, also by handlers whose outcome nobody wants
	Overdue        int // those among Running that Overdue has named
	Unacknowledged int // outcomes kept
}

// Held is how many attempts run or wait.
func (l Load) Held() int { return l.Waiting + l.Running }

// Load counts.
func (s *Slots) Load() Load {
	l := Load{Waiting: len(s.queue), Running: s.running, Unacknowledged: s.outcomes.len()}
	if s.running > 0 {
		for _, a := range s.held {
			if a.overdue {
				l.Overdue++
			}
		}
	}
	return l
}

// Finished says whether a draining worker may go: no outcome is still to come and none is still to be acknowledged.
func (s *Slots) Finished() bool {
	return len(s.queue) == 0 && s.outcomes.len() == 0 && len(s.wanted()) == 0
}

// wanted lists the attempts that run and whose outcome counts, in the order of their beginning.
func (s *Slots) wanted() []*Attempt {
	var list []*Attempt
	for _, a := range s.held {
		if a.state == running {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, byBeginning)
	return list
}

func byBeginning(a, b *Attempt) int { return cmp.Compare(a.begun, b.begun) }
