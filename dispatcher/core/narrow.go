package core

import (
	"maps"
	"slices"
	"time"
)

// What is under way takes its turn in the journal, all types in one: each task passes it at least twice, behind the
// records of those that were handed over with it. Tasks of one type that are handed over ahead, hundreds at a time, are
// done fast that way and make a lone short task of another type wait for many times as long as it takes. So while there
// is such a type, the windows of the others are narrow.
const (
	// narrowWindow is how many assignments beyond its capacity a worker is given then. With 32 the lone task's p99 is below
	// three times what it is alone, with 256 it is eight times; the flood is done at two thirds of its rate
	// (docs/performance.md).
	narrowWindow = 32
	// inUse is for how long after its last task a type counts as one that is in use.
	inUse = time.Second
)

// inUse tells whether a task came into the queue a moment ago.
func (q *queue) inUse(now time.Time) bool { return !q.queued.IsZero() && now.Sub(q.queued) < inUse }

// light tells whether short tasks of the type come, a few at a time: those that wait and those under way are counted.
func (q *queue) light(now time.Time) bool {
	return q.short && q.inUse(now) && q.held-q.dead+q.flying <= narrowWindow
}

// weigh finds out for each type whether another one is light. Types of which there are many tasks do not make the windows
// of each other narrow: there the rate counts.
func (s *Scheduler) weigh() {
	s.uneven = false
	light := 0
	for _, q := range s.rounds {
		if q.light(s.now) {
			light++
		}
	}
	turned := false
	for _, q := range s.rounds {
		others := light
		if q.light(s.now) {
			others--
		}
		q.turned = q.narrow != (others > 0)
		q.narrow = others > 0
		turned = turned || q.turned
	}
	if !turned {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(s.workers)) { // in an order, so that a replay is exact
		w := s.workers[id]
		if slices.ContainsFunc(w.places, func(p *place) bool { return p.queue.turned }) {
			s.look(w)
		}
	}
}
