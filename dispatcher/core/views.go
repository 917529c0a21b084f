package core

import (
	"slices"
	"strings"
)

// Task returns the current version of a task, nil when there is none or it is forgotten.
func (m *Machine) Task(id uint64) *Task { return m.tasks.get(id) }

// Events appends to buf the events after seq, at most max of them in all. ok is false when the first wanted one is
// forgotten.
func (m *Machine) Events(seq uint64, max int, buf []Event) (events []Event, ok bool) {
	return m.events.since(seq, max, buf)
}

// LastEvent returns the sequence number of the newest event; 0 when there is none.
func (m *Machine) LastEvent() uint64 { return m.events.last }

// FirstEvent returns the sequence number of the oldest event that is kept, LastEvent()+1 when none is.
func (m *Machine) FirstEvent() uint64 { return m.events.first() }

// Known tells whether a worker has ever registered the type.
func (m *Machine) Known(typ string) bool { return m.types[typ] != nil }

// KnownTypes returns the known types in their order.
func (m *Machine) KnownTypes() []string {
	names := make([]string, 0, len(m.types))
	for name := range m.types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Live returns how many tasks are not terminal, and the bytes of their payloads.
func (m *Machine) Live() (tasks int, bytes int64) { return m.live, m.liveSize }

// Forgotten returns how many tasks have been forgotten.
func (m *Machine) Forgotten() uint64 { return m.forgotten }

// LastID returns the id given out last; 0 when none was.
func (m *Machine) LastID() uint64 { return m.lastID }

// PageTasks is how many ids a page holds; see Page.
const PageTasks = pageSize

// Page returns the tasks of page n, in the order of their ids: those with an id from n*PageTasks on.
func (m *Machine) Page(n uint64) []*Task {
	p := m.tasks.page(n * pageSize)
	if p == nil {
		return nil
	}
	tasks := make([]*Task, 0, p.used)
	for _, t := range p.tasks {
		if t != nil {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// FirstPage returns the number of the first page that may hold a task.
func (m *Machine) FirstPage() uint64 { return m.tasks.firstPage() }

// maxForget bounds how many tasks one Forget lets go, so that applying it takes milliseconds.
const maxForget = 10_000

// excess returns how many terminal tasks are to be forgotten, so that no more than count are kept, with texts of no
// more than bytes, none of which ended before.
func (m *Machine) excess(count int, bytes int64, before Instant) uint64 {
	n := max(0, m.finished.len()-count)
	size := m.doneSize
	for i := 0; i < min(m.finished.len(), maxForget); i++ {
		t := m.tasks.get(m.finished.at(i))
		if i >= n && size <= bytes && t.Ended >= before {
			return uint64(i)
		}
		size -= t.size()
	}
	return uint64(min(m.finished.len(), maxForget))
}

// Share returns how much of a task's running attempt is done, as its worker said last, 0 to 1.
func (s *Scheduler) Share(id uint64) float32 {
	if f := s.flights[id]; f != nil {
		return f.progress
	}
	return 0
}

// WorkerView is a worker as the scheduler sees it.
type WorkerView struct {
	Info      WorkerInfo
	Connected bool
	LinkError string
	Breaker   BreakerState
	Running   int
	Completed uint64
	Failed    uint64
}

// Workers returns all workers, in the order of their ids.
func (s *Scheduler) Workers() []WorkerView {
	views := make([]WorkerView, 0, len(s.workers))
	for _, w := range s.workers {
		views = append(views, WorkerView{Info: w.info, Connected: w.link != 0, LinkError: w.linkError, Breaker: w.breaking,
			Running: len(w.flights), Completed: w.completed, Failed: w.failed})
	}
	slices.SortFunc(views, func(a, b WorkerView) int { return strings.Compare(a.Info.ID, b.Info.ID) })
	return views
}

// Oddities returns how often workers said what does not count, by reason.
func (s *Scheduler) Oddities() map[string]uint64 {
	counts := make(map[string]uint64, len(s.oddities))
	for reason, n := range s.oddities {
		counts[reason] = n
	}
	return counts
}

// HasKey tells whether an idempotency key belongs to a task.
func (m *Machine) HasKey(key string) bool {
	_, ok := m.keys.get(key)
	return ok
}
