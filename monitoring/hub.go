package monitoring

import (
	"context"
	"sync"

	pb "taskgrid/proto/taskgrid/v1"
)

// hub lets all readers of events share one stream from the dispatcher. It has a flow while there are readers.
type hub struct {
	dispatcher pb.DispatcherClient
	limit      int // how many events a flow keeps

	mu   sync.Mutex
	flow *flow // nil: none, until the next reader comes
}

// flow is one stream from the dispatcher, from the first of its readers to the last, and the newest of its events. It
// never waits for a reader.
type flow struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing runs any more

	readers int // guarded by the hub's mutex

	mu      sync.Mutex
	ring    ring
	faults  int           // how often the dispatcher did not answer
	trouble string        // why, the last time
	ended   bool          // nothing more comes, because of err
	err     error         // a status
	changed chan struct{} // closed, and replaced, when any of these changes
}

// join returns the flow that runs, or a new one of the events after begin. Whoever joins leaves.
func (h *hub) join(begin uint64) *flow {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flow == nil || h.flow.look(0).ended {
		ctx, cancel := context.WithCancel(context.Background())
		h.flow = &flow{cancel: cancel, done: make(chan struct{}), ring: newRing(h.limit, begin), changed: make(chan struct{})}
		go h.flow.run(ctx, &follower{dispatcher: h.dispatcher, last: begin})
	}
	h.flow.readers++
	return h.flow
}

// leave ends the flow with its last reader.
func (h *hub) leave(f *flow) {
	h.mu.Lock()
	f.readers--
	last := f.readers == 0
	if last && h.flow == f {
		h.flow = nil
	}
	h.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

func (f *flow) run(ctx context.Context, upstream *follower) {
	defer close(f.done)
	err := upstream.run(ctx, f.take)
	f.change(func() { f.ended, f.err = true, err })
}

// take puts news where the readers find them.
func (f *flow) take(n news) error {
	frames := newFrames(n.events)
	f.change(func() {
		for _, frame := range frames {
			f.ring.add(frame)
		}
		if n.trouble != "" {
			f.trouble = n.trouble
			f.faults++
		}
	})
	return nil
}

// change changes what is guarded, and wakes the readers.
func (f *flow) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	close(f.changed)
	f.changed = make(chan struct{})
}

// view is what a reader sees of a flow.
type view struct {
	held    bool     // what the reader wants is in the ring, or comes into it
	frames  []*frame // the next ones for the reader
	last    uint64   // the number of the newest one there is
	faults  int
	trouble string
	ended   bool
	err     error
	changed <-chan struct{} // closed when there is another view
}

// look returns what there is for a reader who has the events up to number seq.
func (f *flow) look(seq uint64) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := view{held: f.ring.holds(seq), last: f.ring.last, faults: f.faults, trouble: f.trouble, ended: f.ended, err: f.err, changed: f.changed}
	if v.held {
		v.frames = f.ring.after(seq)
	}
	return v
}

// wait waits until there is another view.
func (v view) wait(ctx context.Context) error {
	select {
	case <-v.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
