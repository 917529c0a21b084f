package nameservice

import (
	"fmt"
	"slices"
	"strings"
)

// makeRoom returns ErrFull if reg does not fit in. e is the entry that it will take the place of, or nil. A worker that
// is Offline gives way to a new one: whoever lives matters more than the memory of the dead.
func (r *Registry) makeRoom(e *entry, reg *Registration) error {
	count, size := 1, reg.size()
	if e != nil {
		count, size = 0, size-e.size()
	}
	for len(r.workers)+count > r.limits.Workers || (size > 0 && r.bytes+size > r.limits.Bytes) {
		oldest := r.offline.Front()
		if oldest == nil || oldest.Value.(*entry) == e {
			return fmt.Errorf("%w: %d workers, %d bytes; the bounds are %d and %d",
				ErrFull, len(r.workers), r.bytes, r.limits.Workers, r.limits.Bytes)
		}
		r.remove(oldest.Value.(*entry))
	}
	return nil
}

// insert enters a new worker into the tables by name and by type.
func (r *Registry) insert(e *entry) {
	r.workers[e.ID] = e
	r.all = r.all.with(e)
	for _, t := range e.Types {
		r.byType[t] = r.byType[t].with(e)
	}
	r.bytes += e.size()
}

// remove forgets a worker.
func (r *Registry) remove(e *entry) {
	e.queue.Remove(e.inQueue)
	r.changes.drop(e)
	delete(r.leases, e.Lease)
	delete(r.workers, e.ID)
	r.all = r.all.without(e)
	for _, t := range e.Types {
		r.leaveType(e, t)
	}
	r.bytes -= e.size()
	r.changes.depart(e.ID, e.Types, r.limits.Departures)
}

// describe replaces what a worker says of itself. Watchers of a type that it gives up are told that it departed.
func (r *Registry) describe(e *entry, reg *Registration) {
	var lost []string
	for _, t := range e.Types {
		if !slices.Contains(reg.Types, t) {
			lost = append(lost, t)
			r.leaveType(e, t)
		}
	}
	if len(lost) > 0 {
		r.changes.depart(e.ID, lost, r.limits.Departures)
	}
	for _, t := range reg.Types {
		r.byType[t] = r.byType[t].with(e)
	}
	r.bytes += reg.size() - e.size()
	e.Registration = reg
}

func (r *Registry) leaveType(e *entry, taskType string) {
	if left := r.byType[taskType].without(e); len(left) > 0 {
		r.byType[taskType] = left
	} else {
		delete(r.byType, taskType)
	}
}

// roster returns the entries of a type, or all for "".
func (r *Registry) roster(taskType string) roster {
	if taskType == "" {
		return r.all
	}
	return r.byType[taskType]
}

// roster lists entries in the order of worker_id.
type roster []*entry

// with returns the roster with e in it, once. The receiver is used up.
func (o roster) with(e *entry) roster {
	i, found := o.search(e.ID)
	if found {
		return o
	}
	return slices.Insert(o, i, e)
}

// without returns the roster without e. The receiver is used up.
func (o roster) without(e *entry) roster {
	i, found := o.search(e.ID)
	if !found {
		return o
	}
	return slices.Delete(o, i, i+1)
}

func (o roster) search(id string) (int, bool) {
	return slices.BinarySearchFunc(o, id, func(e *entry, id string) int { return strings.Compare(e.ID, id) })
}
