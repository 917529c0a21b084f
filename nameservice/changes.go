package nameservice

import (
	"cmp"
	"container/list"
	"slices"
	"time"
)

// changes orders what watchers want to know. A version is counted up with each change; what bears it is an entry (new,
// described anew, or in another state), a departure, or the moment when the registry settled.
type changes struct {
	version uint64
	settled uint64    // the version with which the registry settled; 0 before
	entries list.List // of *entry, in the order of entry.version

	departures []departure // in the order of version, bounded by Limits.Departures
	lost       uint64      // the version of the newest departure that is no longer kept
}

// departure says that a worker left the lists of these types: all its types, if it left the registry.
type departure struct {
	version uint64
	id      string
	types   []string
}

// note gives the entry the next version.
func (c *changes) note(e *entry) {
	c.version++
	e.version = c.version
	if e.changed == nil {
		e.changed = c.entries.PushBack(e)
	} else {
		c.entries.MoveToBack(e.changed)
	}
}

// drop takes the entry out of the order.
func (c *changes) drop(e *entry) {
	c.entries.Remove(e.changed)
	e.changed = nil
}

// depart notes a departure. When there are too many, the oldest half is forgotten at once: that costs a constant
// amount of copying per departure.
func (c *changes) depart(id string, types []string, limit int) {
	c.version++
	if len(c.departures) >= limit {
		half := (limit + 1) / 2
		c.lost = c.departures[half-1].version
		c.departures = slices.Delete(c.departures, 0, half)
	}
	c.departures = append(c.departures, departure{c.version, id, types})
}

func (c *changes) settle() {
	c.version++
	c.settled = c.version
}

// View is what a watcher of a type is told: everything there is, or what has changed since a version.
type View struct {
	Version uint64   // what the watcher knows after it
	Settled bool     // see Registry.Settled
	Workers []Worker // all; or the new and changed ones, each once, as they are now
	Removed []string // ids of workers that left, in the order of leaving
	News    bool     // false: nothing of it concerns the type
}

// Version returns the number of the latest change.
func (r *Registry) Version() uint64 { return r.changes.version }

// Snapshot returns all workers of a type (of all types, if ""), in every state.
func (r *Registry) Snapshot(now time.Time, taskType string) View {
	workers := r.Lookup(now, taskType, true)
	return View{Version: r.changes.version, Settled: r.changes.settled != 0, Workers: workers, News: true}
}

// Since returns what has changed for the watchers of a type (of all types, if "") after a version, the oldest changes
// first and at most limit workers and limit departures; View.Version tells up to where that is all there is. What is
// newer than that may be among it, and is then told again: no harm done, as everything is told as it is now.
//
// It returns false if the registry no longer knows, or never had, that version: only a snapshot helps.
func (r *Registry) Since(now time.Time, taskType string, version uint64, limit int) (View, bool) {
	r.Advance(now)
	c := &r.changes
	if version < c.lost || version > c.version {
		return View{}, false
	}
	changed, upTo := c.changedSince(version, taskType, limit)
	gone, upToGone := c.departedSince(version, taskType, limit)
	upTo = min(upTo, upToGone)

	view := View{Version: upTo, Settled: c.settled != 0 && c.settled <= upTo}
	for _, e := range changed {
		view.Workers = append(view.Workers, e.Worker)
	}
	told := map[string]bool{}
	for _, d := range gone {
		if !told[d.id] && !r.lists(taskType, d.id) {
			told[d.id] = true
			view.Removed = append(view.Removed, d.id)
		}
	}
	turned := view.Settled && c.settled > version
	view.News = turned || len(view.Workers) > 0 || len(view.Removed) > 0
	return view, true
}

// lists reports whether a worker is among those of a type now. One that departed and came back is: its return is a
// change of its own.
func (r *Registry) lists(taskType, id string) bool {
	_, found := r.roster(taskType).search(id)
	return found
}

// changedSince returns the first entries of a type after a version, at most limit, and the version up to which that
// is all there is.
func (c *changes) changedSince(version uint64, taskType string, limit int) ([]*entry, uint64) {
	var found []*entry
	for at := c.entries.Back(); at != nil; at = at.Prev() {
		e := at.Value.(*entry)
		if e.version <= version {
			break
		}
		if taskType == "" || slices.Contains(e.Types, taskType) {
			found = append(found, e)
		}
	}
	slices.Reverse(found)
	if len(found) <= limit {
		return found, c.version
	}
	return found[:limit], found[limit-1].version
}

// departedSince does the same for departures.
func (c *changes) departedSince(version uint64, taskType string, limit int) ([]departure, uint64) {
	first, _ := slices.BinarySearchFunc(c.departures, version+1, func(d departure, v uint64) int {
		return cmp.Compare(d.version, v)
	})
	var found []departure
	for _, d := range c.departures[first:] {
		if taskType == "" || slices.Contains(d.types, taskType) {
			if found = append(found, d); len(found) == limit {
				return found, d.version
			}
		}
	}
	return found, c.version
}
