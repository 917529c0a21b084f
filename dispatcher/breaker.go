package dispatcher

import (
	"github.com/sony/gobreaker"

	"taskgrid/dispatcher/core"
)

// newBreaker returns the circuit breaker of one worker. It opens after BreakerFaults faults in a row; after BreakerPause
// one probe is let through, and closes it or opens it again.
func (c *Config) newBreaker(changed func(from, to core.BreakerState)) core.Breaker {
	return breaker{gobreaker.NewTwoStepCircuitBreaker(gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     c.BreakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= c.BreakerFaults },
		// gobreaker calls this under its lock: whoever is told must not ask the breaker.
		OnStateChange: func(_ string, from, to gobreaker.State) { changed(breakerStates[from], breakerStates[to]) },
	})}
}

// breaker is a gobreaker in the core's terms.
type breaker struct {
	two *gobreaker.TwoStepCircuitBreaker
}

// Allow implements core.Breaker.
func (b breaker) Allow() (func(ok bool), error) { return b.two.Allow() }

// State implements core.Breaker.
func (b breaker) State() core.BreakerState { return breakerStates[b.two.State()] }

var breakerStates = map[gobreaker.State]core.BreakerState{
	gobreaker.StateClosed:   core.BreakerClosed,
	gobreaker.StateHalfOpen: core.BreakerHalfOpen,
	gobreaker.StateOpen:     core.BreakerOpen,
}
