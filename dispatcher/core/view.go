package core

import (
	"maps"
	"slices"
)

// View joins what several name services say of the workers. A worker lives if any of them says ACTIVE, and drains if
// any says so. That one does not list a worker proves nothing while it has not run long enough to have heard from
// everybody (it is not settled), or does not answer: what was learnt from it stays in use until a full answer, its own
// or that of another one, replaces it.
type View struct {
	sources map[string]*source // by the name service's address
	joined  map[string]WorkerInfo
}

// source is what one name service said.
type source struct {
	workers map[string]listed
	settled bool
	away    bool // it does not answer: what it said is old
}

// listed is a worker in a name service's table.
type listed struct {
	info WorkerInfo
	old  bool // said by an earlier run of the name service, and not confirmed by this one
}

// NewView returns an empty view.
func NewView() *View {
	return &View{sources: map[string]*source{}, joined: map[string]WorkerInfo{}}
}

// Update takes an answer of a name service: a snapshot (all it has) or a change (those that are new or changed, and the
// ids that are gone).
func (v *View) Update(from string, snapshot, settled bool, workers []WorkerInfo, removed []string) {
	src := v.sources[from]
	if src == nil {
		src = &source{workers: map[string]listed{}}
		v.sources[from] = src
	}
	if snapshot {
		for id, w := range src.workers {
			src.workers[id] = listed{info: w.info, old: true}
		}
	}
	src.settled, src.away = settled, false
	for _, w := range workers {
		src.workers[w.ID] = listed{info: w}
	}
	for _, id := range removed {
		delete(src.workers, id)
	}
	if settled {
		maps.DeleteFunc(src.workers, func(_ string, w listed) bool { return w.old })
	}
}

// Away notes that a name service does not answer.
func (v *View) Away(from string) {
	if src := v.sources[from]; src != nil {
		src.away = true
	}
}

// Drop forgets a name service that is no longer one of ours.
func (v *View) Drop(from string) { delete(v.sources, from) }

// Changes returns what is different from the last call: the workers that are new or changed, and the ids that are gone,
// both in the order of the ids.
func (v *View) Changes() (changed []WorkerInfo, gone []string) {
	now := v.join()
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if before, ok := v.joined[id]; !ok || !before.equal(now[id]) {
			changed = append(changed, now[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.joined)) {
		if _, ok := now[id]; !ok {
			gone = append(gone, id)
		}
	}
	v.joined = now
	return changed, gone
}

// All returns the workers as of the last Changes, in the order of their ids.
func (v *View) All() []WorkerInfo {
	all := make([]WorkerInfo, 0, len(v.joined))
	for _, id := range slices.Sorted(maps.Keys(v.joined)) {
		all = append(all, v.joined[id])
	}
	return all
}

// join joins what those say that answer. What the others said counts only for workers that nobody who answers lists, and
// only while none who answers is settled.
func (v *View) join() map[string]WorkerInfo {
	joined, complete := v.joinThose(false)
	if complete {
		return joined
	}
	old, _ := v.joinThose(true)
	for id, w := range old {
		if _, listed := joined[id]; !listed {
			joined[id] = w
		}
	}
	return joined
}

// joinThose joins what those say that are away, or those that answer, and tells whether one of them is settled.
func (v *View) joinThose(away bool) (joined map[string]WorkerInfo, settled bool) {
	joined = map[string]WorkerInfo{}
	for _, name := range slices.Sorted(maps.Keys(v.sources)) {
		src := v.sources[name]
		if src.away != away {
			continue
		}
		settled = settled || src.settled
		for id, w := range src.workers {
			if before, ok := joined[id]; ok {
				joined[id] = before.join(w.info)
			} else {
				joined[id] = w.info
			}
		}
	}
	return joined, settled
}

// rank orders what two name services may say of a worker's state: what counts is the one with the higher rank.
var rank = [...]int{WorkerUnknown: 0, WorkerOffline: 1, WorkerUnhealthy: 2, WorkerActive: 3, WorkerDraining: 4}

// join joins what two name services say of a worker. Where they disagree about more than its state, for instance while
// it re-registers with another lease, the one whose state counts is right.
func (w WorkerInfo) join(other WorkerInfo) WorkerInfo {
	if rank[other.State] > rank[w.State] {
		return other
	}
	return w
}

func (w WorkerInfo) equal(other WorkerInfo) bool {
	return w.ID == other.ID && w.LeaseID == other.LeaseID && w.Address == other.Address && w.Capacity == other.Capacity &&
		w.State == other.State && slices.Equal(w.Types, other.Types)
}
