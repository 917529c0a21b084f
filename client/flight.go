package client

import (
	"maps"
	"slices"
)

// Flight is what a stream of submissions has out: each task from the moment it is to be sent until it has ended or was
// refused, whichever connection carries it. Rules only. It is not safe for concurrent use; whoever adds bounds it.
//
// A task is known by its ref here, and by its id after the dispatcher acknowledged it. Two submissions with one
// idempotency key are two refs of one id.
type Flight[Task any] struct {
	lastRef uint64
	open    map[uint64]Task     // by ref
	refs    map[uint64][]uint64 // by id, of those that are acknowledged
	ids     map[uint64]uint64   // by ref, of those that are acknowledged
}

// NewFlight returns a flight with nothing out.
func NewFlight[Task any]() *Flight[Task] {
	return &Flight[Task]{open: map[uint64]Task{}, refs: map[uint64][]uint64{}, ids: map[uint64]uint64{}}
}

// Add takes a task that is to be sent and returns its ref.
func (f *Flight[Task]) Add(task Task) (ref uint64) {
	f.lastRef++
	f.open[f.lastRef] = task
	return f.lastRef
}

// Len returns how many are out.
func (f *Flight[Task]) Len() int { return len(f.open) }

// Accepted takes an acknowledgement. One that came already, over an earlier connection, changes nothing.
func (f *Flight[Task]) Accepted(ref, id uint64) {
	if _, open := f.open[ref]; !open || f.ids[ref] == id {
		return
	}
	f.unlink(ref) // the dispatcher forgot the task of the earlier acknowledgement, and made another
	f.ids[ref] = id
	f.refs[id] = append(f.refs[id], ref)
}

// Refused takes a refusal: the task is out no longer. It returns false if it was not.
func (f *Flight[Task]) Refused(ref uint64) (task Task, ok bool) {
	task, ok = f.open[ref]
	f.unlink(ref)
	delete(f.open, ref)
	return task, ok
}

// unlink takes back the acknowledgement of a ref, if there is one.
func (f *Flight[Task]) unlink(ref uint64) {
	id, ok := f.ids[ref]
	if !ok {
		return
	}
	delete(f.ids, ref)
	f.refs[id] = slices.DeleteFunc(f.refs[id], func(r uint64) bool { return r == ref })
	if len(f.refs[id]) == 0 {
		delete(f.refs, id)
	}
}

// Ended takes the end of a task and returns what was out under its id, in the order of the refs. The second time it
// returns nothing.
func (f *Flight[Task]) Ended(id uint64) []Task {
	refs := f.refs[id]
	delete(f.refs, id)
	tasks := make([]Task, 0, len(refs))
	for _, ref := range refs {
		tasks = append(tasks, f.open[ref])
		delete(f.open, ref)
		delete(f.ids, ref)
	}
	return tasks
}

// Unfinished returns the refs of all that are out, in their order: what a new connection has to send again. The
// idempotency keys make the dispatcher answer with the tasks it has already.
func (f *Flight[Task]) Unfinished() []uint64 { return slices.Sorted(maps.Keys(f.open)) }

// Task returns what is out under a ref.
func (f *Flight[Task]) Task(ref uint64) Task { return f.open[ref] }
