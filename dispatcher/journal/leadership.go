package journal

import (
	"context"
	"sync"
)

// Leadership is a change of whether this node leads.
type Leadership struct {
	// Leading is true when everything committed before has been applied here, and Propose takes records.
	Leading bool
	// Term is raft's, of the leadership that begins or ends. It never goes back. Two leaderships of one process may
	// follow each other in the same term, when raft refused something in between; never those of two processes.
	Term uint64
}

// Leadership returns the changes of this node's leadership, in order, beginning with not leading. Of a gain and the
// loss that follows it both are sent, or none when nobody listened in time; never a gain upon a gain. The channel is
// closed when Run returns. There is one channel, for one listener.
func (j *Journal) Leadership() <-chan Leadership {
	return j.announce.out
}

// announcer queues leadership changes for a listener that may be slow.
type announcer struct {
	out  chan Leadership
	wake chan struct{} // holds one

	mu    sync.Mutex
	queue []Leadership // at most two: see push
}

func newAnnouncer() *announcer {
	return &announcer{out: make(chan Leadership), wake: make(chan struct{}, 1)}
}

// push queues a change. A loss cancels a gain that is still queued; so the queue is empty, one change, or a loss and the
// gain after it.
func (a *announcer) push(l Leadership) {
	a.mu.Lock()
	if n := len(a.queue); !l.Leading && n > 0 && a.queue[n-1].Leading {
		a.queue = a.queue[:n-1]
	} else {
		a.queue = append(a.queue, l)
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// pop takes the oldest change out of the queue.
func (a *announcer) pop() (l Leadership, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return Leadership{}, false
	}
	l, a.queue = a.queue[0], a.queue[1:]
	return l, true
}

// run hands the changes out until ctx ends, and closes the channel.
func (a *announcer) run(ctx context.Context) {
	defer close(a.out)
	for {
		l, ok := a.pop()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-a.wake:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case a.out <- l:
		}
	}
}
