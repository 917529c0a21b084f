package workers

import "sync"

const (
	// maxBatchBytes is about how large a message to the dispatcher becomes before the next one is begun. It is far below
	// what a message may have (rpc.MaxMessage), and large enough for thousands of short outcomes.
	maxBatchBytes = 1 << 20

	// maxPending is how many things may wait to be sent before nothing more is read from the dispatcher. One that hands
	// over without listening stops itself by that.
	maxPending = 16384
)

// session is one Process stream as the engine sees it: what is still to be told on it. All fields but the channels and
// reason are guarded by the engine's mutex.
type session struct {
	wake  chan struct{} // holds a token when there may be something to send
	ended chan struct{} // closed when the session is over
	over  bool          // ended is closed
	// reason is what the stream ends with. It is set before ended is closed and not changed after.
	reason error

	batch                // what waits to be sent
	sending    bool      // a message is on its way into the stream
	halfClosed bool      // the dispatcher hands nothing over any more
	room       sync.Cond // pending has shrunk, or the session is over
}

// batch is what one message tells.
type batch struct {
	started  []Key
	progress map[Key]float32 // the newest report of each attempt
	outcomes []Outcome
	refused  []refusal
}

// refusal is an attempt that goes back to the dispatcher, and why.
type refusal struct {
	Key
	reason   string
	draining bool // so whatever else comes would go back too
}

// greeting is what a Hello tells of earlier streams.
type greeting struct {
	held     []heldAttempt
	outcomes []Outcome
}

// heldAttempt is an attempt that runs, or waits for a slot.
type heldAttempt struct {
	Key
	started bool
}

func newSession(mu *sync.Mutex) *session {
	s := &session{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.room.L = mu
	return s
}

// poke wakes the writer.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end closes the session; only the first reason counts.
func (s *session) end(reason error) {
	if s.over {
		return
	}
	s.over, s.reason = true, reason
	close(s.ended)
	s.room.Broadcast()
}

// greet puts what is held into a greeting. Outcomes that are too many for one message are named there as running, and
// follow in the next messages.
func (s *session) greet(held []*Attempt, kept []Outcome) greeting {
	var g greeting
	for _, a := range held {
		g.held = append(g.held, heldAttempt{a.Key, a.Started()})
	}
	n := fitting(kept)
	g.outcomes, s.outcomes = kept[:n:n], kept[n:]
	for _, o := range s.outcomes {
		g.held = append(g.held, heldAttempt{o.Key, true})
	}
	s.poke()
	return g
}

// report notes how far an attempt is.
func (s *session) report(k Key, fraction float32) {
	if s.progress == nil {
		s.progress = map[Key]float32{}
	}
	s.progress[k] = fraction
	s.poke()
}

// take removes from what is pending as much as one message holds.
func (s *session) take() batch {
	b := s.batch
	s.batch = batch{}
	if n := fitting(b.outcomes); n < len(b.outcomes) {
		s.outcomes, b.outcomes = b.outcomes[n:], b.outcomes[:n]
	}
	s.sending = !b.empty()
	s.room.Broadcast()
	return b
}

// flushed says whether everything was sent.
func (s *session) flushed() bool { return s.batch.empty() && !s.sending }

func (b *batch) size() int {
	return len(b.started) + len(b.progress) + len(b.outcomes) + len(b.refused)
}

func (b *batch) empty() bool { return b.size() == 0 }

// fitting returns how many of the outcomes go into one message: at least one, if there is one.
func fitting(outcomes []Outcome) int {
	bytes := 0
	for i, o := range outcomes {
		if bytes += o.bytes(); bytes > maxBatchBytes && i > 0 {
			return i
		}
	}
	return len(outcomes)
}
