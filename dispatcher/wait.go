package dispatcher

import (
	"context"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// waiter is somebody who wants to know when tasks become terminal. All of it is guarded by the Dispatcher's lock but
// the channel.
type waiter struct {
	ready   []*core.Task        // terminal and not yet taken
	waiting map[uint64]struct{} // not terminal yet
	begun   bool                // it waits, or has waited
	over    bool                // it has left, or this replica no longer leads: nothing more will come
	all     bool                // it wants to be woken when all are terminal, not sooner
	wake    chan struct{}       // holds one
}

func newWaiter() *waiter {
	return &waiter{waiting: map[uint64]struct{}{}, wake: make(chan struct{}, 1)}
}

// await lets w wait for tasks, until leave. Those that are terminal already are ready at once; the ids that are not known
// are returned, and then w waits for none. It returns false when this replica does not lead.
func (d *Dispatcher) await(w *waiter, ids []uint64) (unknown []uint64, leading bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.scheduler == nil || w.over {
		return nil, false
	}
	for _, id := range ids {
		if d.machine.Task(id) == nil {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		return unknown, true
	}
	w.begun = true
	d.callers[w] = struct{}{}
	for _, id := range ids {
		d.awaitOne(w, d.machine.Task(id))
	}
	if w.satisfied() {
		signal(w.wake)
	}
	return nil, true
}

// satisfied tells whether w has what it wants to be woken for.
func (w *waiter) satisfied() bool { return len(w.ready) > 0 && (!w.all || len(w.waiting) == 0) }

// awaitOne lets w wait for a task, of which t is the current version. Whoever calls it wakes w after, if it is
// satisfied.
func (d *Dispatcher) awaitOne(w *waiter, t *core.Task) {
	if t.State.Terminal() {
		w.ready = append(w.ready, t)
		return
	}
	if _, ok := w.waiting[t.ID]; ok {
		return
	}
	w.waiting[t.ID] = struct{}{}
	d.waiters[t.ID] = append(d.waiters[t.ID], w)
}

// take returns what is ready, how many w still waits for, and whether nothing more will come.
func (d *Dispatcher) take(w *waiter) (ready []*core.Task, waiting int, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ready, w.ready = w.ready, nil
	return ready, len(w.waiting), w.over
}

// leave ends a waiter. It returns what was ready and not yet taken, and whether w ever waited.
func (d *Dispatcher) leave(w *waiter) (ready []*core.Task, begun bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.over = true
	delete(d.callers, w)
	for id := range w.waiting {
		kept := d.waiters[id][:0]
		for _, other := range d.waiters[id] {
			if other != w {
				kept = append(kept, other)
			}
		}
		if d.waiters[id] = kept; len(kept) == 0 {
			delete(d.waiters, id)
		}
	}
	clear(w.waiting)
	return w.ready, w.begun
}

// tellWaiters tells whoever waits for the task that it is terminal. It is called under the lock.
func (d *Dispatcher) tellWaiters(t *core.Task) {
	for _, w := range d.waiters[t.ID] {
		before := w.satisfied()
		delete(w.waiting, t.ID)
		w.ready = append(w.ready, t)
		if !before && w.satisfied() {
			d.woken = append(d.woken, w.wake)
		}
	}
	delete(d.waiters, t.ID)
}

// dismissWaiters tells all that nothing more will come, also those who wait for no task at the moment. It is called
// under the lock.
func (d *Dispatcher) dismissWaiters() {
	for w := range d.callers {
		w.over = true
		clear(w.waiting)
		signal(w.wake)
	}
	clear(d.waiters)
}

// submitAndWait submits tasks and waits until all that are accepted have ended, at most for so long; what has ended it puts
// into their results. When this replica ceases to lead, or ctx ends, after they were accepted, it waits no longer: that they
// are is true anyhow.
//
// It wakes up once, when all is over: to wake up for the acceptance too would cost as much as all else that it does.
func (s *Server) submitAndWait(ctx context.Context, subs []*submission, wait time.Duration) error {
	w := newWaiter()
	w.all = true
	decided := make(chan error, 1)
	s.d.submit(subs, func(err error) {
		if err != nil || !s.d.awaitSubmitted(w, subs) {
			decided <- err
		}
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-decided: // there is nothing to wait for
		return s.toStatus(ctx, err)
	case <-w.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	ready, begun := s.d.leave(w)
	if !begun {
		select {
		case err := <-decided:
			return s.toStatus(ctx, err)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	fill(subs, ready)
	return nil
}

// awaitSubmitted lets w wait for the accepted ones of submissions. It returns false if there is nothing to wait for: none
// was accepted, one of them is forgotten already, this replica leads no longer, or w has left.
func (d *Dispatcher) awaitSubmitted(w *waiter, subs []*submission) bool {
	ids := make([]uint64, 0, len(subs))
	for _, s := range subs {
		if s.task != nil {
			ids = append(ids, s.task.ID)
		}
	}
	unknown, leading := d.await(w, ids)
	return leading && len(unknown) == 0 && len(ids) > 0
}

// fill puts the tasks that have ended into the results of their submissions, as many as fit an answer.
func fill(subs []*submission, ready []*core.Task) {
	ended := make(map[uint64]*core.Task, len(ready))
	for _, t := range ready {
		ended[t.ID] = t
	}
	size := 0
	for _, s := range subs { // what an answer takes in any case
		size += proto.Size(s.result) + 8
	}
	for _, s := range subs {
		if s.task == nil || ended[s.task.ID] == nil {
			continue
		}
		task := taskOf(ended[s.task.ID], pb.TaskView_TASK_VIEW_FULL, 0)
		if size += roomFor(task); size > answerBytes {
			break
		}
		s.result.Task = task
	}
}
