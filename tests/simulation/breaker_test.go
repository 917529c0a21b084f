package simulation

import (
	"errors"
	"time"

	"taskgrid/dispatcher/core"
)

// breaker opens after three faults in a row, for two seconds. (gobreaker asks the real clock.)
type breaker struct {
	dispatcher *dispatcher
	changed    func(from, to core.BreakerState)
	state      core.BreakerState
	faults     int
	until      time.Time
	probing    bool
	generation int
}

func (b *breaker) State() core.BreakerState {
	if b.state == core.BreakerOpen && !b.dispatcher.clock().Before(b.until) {
		b.become(core.BreakerHalfOpen)
	}
	return b.state
}

var errBreaker = errors.New("the breaker lets nothing through")

func (b *breaker) Allow() (func(bool), error) {
	state := b.State()
	if state == core.BreakerOpen || state == core.BreakerHalfOpen && b.probing {
		return nil, errBreaker
	}
	b.probing = state == core.BreakerHalfOpen
	generation, told := b.generation, false
	return func(ok bool) {
		if told {
			b.dispatcher.referee.fail("a breaker was told twice of the same attempt")
		}
		told = true
		if b.State(); generation == b.generation {
			b.count(ok)
		}
	}, nil
}

func (b *breaker) count(ok bool) {
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

func (b *breaker) become(to core.BreakerState) {
	from := b.state
	b.state, b.faults, b.probing, b.until = to, 0, false, b.dispatcher.clock().Add(2*time.Second)
	b.generation++
	b.changed(from, to)
}
