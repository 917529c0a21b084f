package workers

import (
	"context"
	"sync"
	"time"
)

// attemptContext is the context of one attempt. Most handlers are done before they would look at it, so what costs
// something (a channel, a timer) is made when somebody looks: then it is a context with a deadline from package context.
type attemptContext struct {
	deadline time.Time
	key      Key                    // behind AttemptOf
	report   func(fraction float64) // behind Report

	mu      sync.Mutex
	full    context.Context // nil until somebody looks
	cancel  context.CancelFunc
	stopped bool
}

// Deadline, Done, Err and Value are those of context.Context.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is that of context.Context.
func (c *attemptContext) Done() <-chan struct{} { return c.look().Done() }

// Err is that of context.Context.
func (c *attemptContext) Err() error { return c.look().Err() }

// Value is that of context.Context. Package context asks it for its own keys, so contexts derived from this one need
// no goroutine.
func (c *attemptContext) Value(key any) any {
	switch key {
	case reportKey{}:
		return c.report
	case attemptKey{}:
		return c.key
	}
	return c.look().Value(key)
}

// stop ends the context. It may be called again.
func (c *attemptContext) stop() {
	c.mu.Lock()
	c.stopped = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// look returns the context from package context, and makes it the first time.
func (c *attemptContext) look() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == nil {
		c.full, c.cancel = context.WithDeadline(context.Background(), c.deadline)
		if c.stopped {
			c.cancel()
		}
	}
	return c.full
}
