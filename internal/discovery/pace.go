package discovery

import (
	"sync"
	"time"
)

// pace decides how often the name services are asked. Rules only: it knows no clock.
type pace struct {
	eagerUntil, hurryUntil time.Time
}

// broken says that the connection failed. The first failure for a while begins the hurry.
func (p *pace) broken(now time.Time) {
	if now.After(p.eagerUntil) {
		p.hurryUntil = now.Add(hurryFor)
	}
	p.eagerUntil = now.Add(eagerFor)
}

// moved says that there is a new address: the hurry has reached its goal.
func (p *pace) moved() { p.hurryUntil = time.Time{} }

// interval returns how long after a lookup the next one is, unless somebody asks. Found: there is an address. Watched: a
// name service tells of changes by itself.
func (p *pace) interval(now time.Time, found, watched bool) time.Duration {
	switch {
	case now.Before(p.hurryUntil):
		return hurryInterval
	case !found, !watched, now.Before(p.eagerUntil):
		return eagerInterval
	}
	return calmInterval
}

// least returns how long after a lookup the next one is when somebody asks.
func (p *pace) least(now time.Time) time.Duration {
	return min(p.interval(now, false, false), eagerInterval/4)
}

// signpost wakes whoever waits for the address to change.
type signpost struct {
	mu   sync.Mutex
	next chan struct{} // closed at the next change; nil: nobody waits
}

// wait returns a channel that is closed at the next change.
func (s *signpost) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

// tell says that the address has changed.
func (s *signpost) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
