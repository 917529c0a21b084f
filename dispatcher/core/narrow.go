package core

import "time"

// What is under way takes its turn in the journal, all types in one: each task passes it at least twice, behind the
// records of those that were handed over with it. Tasks of one type that are handed over ahead, hundreds at a time, are
// done fast that way and make a lone short task of another type wait for many times as long as it takes. So while there
// is such a type, the windows of the others are narrow.
const (
	// narrowWindow is how many assignments beyond its capacity a worker is given then. With 32 the lone task's p99 stays
	// below three times what it is alone, with 64 it does not always, and 256 make it eight times (docs/performance.md).
	narrowWindow = 32
	// inUse is for how long after its last task a type counts as one that is in use.
	inUse = time.Second
)

// inUse tells whether a task came into the queue a moment ago.
func (q *queue) inUse(now time.Time) bool { return !q.queued.IsZero() && now.Sub(q.queued) < inUse }

// light tells whether short tasks of the type come, and few of them wait.
func (q *queue) light(now time.Time) bool {
	return q.short && q.inUse(now) && q.held-q.dead <= narrowWindow
}

// weigh finds out for each type whether another one is light. Types of which many tasks wait do not make the windows of
// each other narrow: there the rate counts.
func (s *Scheduler) weigh() {
	s.uneven = false
	light := 0
	for _, q := range s.rounds {
		if q.light(s.now) {
			light++
		}
	}
	for _, q := range s.rounds {
		others := light
		if q.light(s.now) {
			others--
		}
		if narrow := others > 0; q.narrow != narrow {
			q.narrow = narrow
			s.lookAll(q)
		}
	}
}

// lookAll looks again at all workers of a queue.
func (s *Scheduler) lookAll(q *queue) {
	for _, w := range s.workers {
		if w.place(q) != nil {
			s.look(w)
		}
	}
}
