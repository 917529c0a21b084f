package bound

import (
	"context"
	"sync"
	"time"
)

// lazily is how long something may wait for something urgent to go with.
const lazily = 50 * time.Millisecond

// outbox gathers what goes into the next message of a stream while the last one is being sent.
type outbox[M any] struct {
	wake chan struct{} // holds one: next is urgent

	mu   sync.Mutex
	next *M // nil: nothing
}

func newOutbox[M any]() *outbox[M] { return &outbox[M]{wake: make(chan struct{}, 1)} }

// put adds to the next message. What is not urgent waits for something that is.
func (o *outbox[M]) put(urgent bool, add func(next *M)) {
	o.mu.Lock()
	if o.next == nil {
		o.next = new(M)
	}
	add(o.next)
	o.mu.Unlock()
	if urgent {
		signal(o.wake)
	}
}

// run sends until ctx ends, or over is closed and everything is sent.
func (o *outbox[M]) run(ctx context.Context, over <-chan struct{}, send func(*M) error) error {
	late := time.NewTicker(lazily)
	defer late.Stop()
	for last := false; !last; {
		select {
		case <-o.wake:
		case <-late.C:
		case <-over:
			last = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		o.mu.Lock()
		m := o.next
		o.next = nil
		o.mu.Unlock()
		if m == nil {
			continue
		}
		if err := send(m); err != nil {
			return err
		}
	}
	return nil
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
