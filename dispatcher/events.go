package dispatcher

import (
	"context"
	"sync"
	"time"
)

// broadcast wakes any number of goroutines when there is something new, at most once each newsInterval: with thousands
// of watchers, waking all of them for each of thousands of events a second would be all that the process does.
type broadcast struct {
	told chan struct{} // holds one

	mu   sync.Mutex
	next chan struct{} // closed when there is something new
}

const newsInterval = 5 * time.Millisecond

func newBroadcast() *broadcast {
	return &broadcast{told: make(chan struct{}, 1), next: make(chan struct{})}
}

// tell says that there is something new.
func (b *broadcast) tell() { signal(b.told) }

// wait returns a channel that is closed when there is something newer than now.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

// run wakes the waiting until ctx ends.
func (b *broadcast) run(ctx context.Context) error {
	pause := time.NewTimer(newsInterval)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.told:
		}
		b.mu.Lock()
		close(b.next)
		b.next = make(chan struct{})
		b.mu.Unlock()
		pause.Reset(newsInterval)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}
