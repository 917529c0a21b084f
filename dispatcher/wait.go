package dispatcher

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// waiter is somebody who wants to know when tasks become terminal. All of it is guarded by the Dispatcher's lock but
// the channel.
type waiter struct {
	ready   []*core.Task        // terminal and not yet taken
	waiting map[uint64]struct{} // not terminal yet
	over    bool                // this replica no longer leads: nothing more will come
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
	if d.scheduler == nil {
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
	d.callers[w] = struct{}{}
	for _, id := range ids {
		d.awaitOne(w, d.machine.Task(id))
	}
	return nil, true
}

// awaitOne lets w wait for a task, of which t is the current version.
func (d *Dispatcher) awaitOne(w *waiter, t *core.Task) {
	if t.State.Terminal() {
		w.ready = append(w.ready, t)
		signal(w.wake)
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

// leave ends a waiter.
func (d *Dispatcher) leave(w *waiter) {
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
}

// tellWaiters tells whoever waits for the task that it is terminal. It is called under the lock.
func (d *Dispatcher) tellWaiters(t *core.Task) {
	for _, w := range d.waiters[t.ID] {
		delete(w.waiting, t.ID)
		w.ready = append(w.ready, t)
		signal(w.wake)
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

// awaitSubmitted waits until all accepted tasks have ended, at most for so long, and puts those that have ended into their
// results. When this replica ceases to lead, or ctx ends, it waits no longer: that the tasks are accepted is true anyhow.
func (d *Dispatcher) awaitSubmitted(ctx context.Context, subs []*submission, wait time.Duration) {
	ids := make([]uint64, 0, len(subs))
	for _, s := range subs {
		if s.task != nil {
			ids = append(ids, s.task.ID)
		}
	}
	w := newWaiter()
	if unknown, leading := d.await(w, ids); len(unknown) > 0 || !leading {
		return // forgotten already, or for the next leader to tell
	}
	defer d.leave(w)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	ended := make(map[uint64]*core.Task, len(ids))
	for {
		ready, waiting, over := d.take(w)
		for _, t := range ready {
			ended[t.ID] = t
		}
		if over || waiting == 0 {
			break
		}
		select {
		case <-w.wake:
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		break
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
