package core

import (
	"container/heap"
	"time"
)

// place is a worker's place with the queue of one of its types.
type place struct {
	worker  *worker
	queue   *queue
	typical time.Duration // how long its handler takes, as a moving average; 0: not known
	index   int           // in the queue's lineup; -1 when it is not ready
}

// short tells whether tasks are known to be done within the lookahead.
func (p *place) short() bool { return p.typical > 0 && p.typical < lookahead }

// learn takes a handler's time into the moving average.
func (p *place) learn(elapsed time.Duration) {
	if elapsed < 0 {
		return
	}
	elapsed = max(elapsed, time.Microsecond)
	if p.typical == 0 || elapsed > p.typical {
		p.typical = elapsed // one slow task is enough to be careful
	} else {
		p.typical += (elapsed - p.typical) / 8
	}
	p.queue.short = p.short()
}

// standing is what the strategies compare of a worker. The lineups keep what it was when they were last told of the
// worker, so that one whose slots come and go meanwhile does not upset their order.
type standing struct {
	assigned, capacity int
	turn               uint64
}

// lineup is the workers that are ready for the tasks of a queue: a heap with the one to be chosen on top. At random any of
// them is chosen, and they stand in no order.
type lineup struct {
	strategy Strategy
	places   []*place
}

// before tells whether a worker is to be preferred to another; workers that were never chosen come in the order of their
// ids.
func (s Strategy) before(a, b *worker) bool {
	if s == LeastLoaded {
		if x, y := a.standing.assigned*b.standing.capacity, b.standing.assigned*a.standing.capacity; x != y {
			return x < y
		}
	}
	if a.standing.turn != b.standing.turn {
		return a.standing.turn < b.standing.turn
	}
	return a.info.ID < b.info.ID
}

func (l *lineup) Len() int { return len(l.places) }
func (l *lineup) Less(i, j int) bool {
	return l.strategy != Random && l.strategy.before(l.places[i].worker, l.places[j].worker)
}
func (l *lineup) Swap(i, j int) {
	l.places[i], l.places[j] = l.places[j], l.places[i]
	l.places[i].index, l.places[j].index = i, j
}
func (l *lineup) Push(x any) {
	p := x.(*place)
	p.index = len(l.places)
	l.places = append(l.places, p)
}
func (l *lineup) Pop() any {
	last := len(l.places) - 1
	p := l.places[last]
	l.places[last] = nil
	l.places = l.places[:last]
	p.index = -1
	return p
}

// enter puts a place where it belongs; it may be there already.
func (l *lineup) enter(p *place) {
	if p.index >= 0 {
		heap.Fix(l, p.index)
		return
	}
	heap.Push(l, p)
}

// leave takes a place out; it may be out already.
func (l *lineup) leave(p *place) {
	if p.index >= 0 {
		heap.Remove(l, p.index)
	}
}

// pick chooses a worker for a task, nil when none is ready. A worker that an attempt of the task already ended on is
// chosen only when there is no other, and never one with a ghost of the token that the next attempt will bear: it could not
// tell the two apart.
func (s *Scheduler) pick(q *queue, t *Task) (chosen *worker) {
	s.lineUp()
	next := ghost{t.ID, s.nextToken(t)}
	aside := s.aside[:0]
	for l := &q.ready; chosen == nil && l.Len() > 0; {
		p := l.places[0]
		if l.strategy == Random {
			p = l.places[s.cfg.Rand(l.Len())]
		}
		w := p.worker
		_, haunted := w.ghosts[next]
		switch {
		case !w.ready(p, s.now): // a task of another type has begun to wait for it
			l.leave(p)
			s.cramp(w)
		case haunted || w.tried(t):
			l.leave(p)
			aside = append(aside, p)
		default:
			chosen = w
		}
	}
	for _, p := range aside {
		q.ready.enter(p)
		if _, haunted := p.worker.ghosts[next]; chosen == nil && !haunted {
			chosen = p.worker
		}
	}
	clear(aside)
	s.aside = aside
	return chosen
}

// look says that a worker may have become ready, and its queues may hand something over.
func (s *Scheduler) look(w *worker) {
	s.touch(w)
	for _, p := range w.places {
		p.queue.dirty = true
	}
}

// touch says that something has changed which decides whether a worker is ready, or when it is chosen.
func (s *Scheduler) touch(w *worker) {
	if !w.stale {
		w.stale = true
		s.stale = append(s.stale, w)
	}
}

// lineUp brings the lineups up to date with the workers that were touched. It takes one after the other: a heap can be
// mended when one of its elements has changed, not when several have.
func (s *Scheduler) lineUp() {
	for _, w := range s.stale {
		w.stale = false
		w.standing = standing{assigned: w.assigned(), capacity: w.info.Capacity, turn: w.turn}
		for _, p := range w.places {
			if w.ready(p, s.now) {
				p.queue.ready.enter(p)
				continue
			}
			p.queue.ready.leave(p)
			if held := w.assigned(); held >= w.info.Capacity && held < w.limitAlone(p) { // not ready for that reason only
				s.cramp(w)
			}
		}
	}
	clear(s.stale)
	s.stale = s.stale[:0]
}

// cramp notes that a worker has room for tasks of one type only while none of another type wait for it.
func (s *Scheduler) cramp(w *worker) {
	if !w.cramped {
		w.cramped = true
		s.cramped = append(s.cramped, w)
	}
}

// ease looks again at the workers that had no room while the tasks of a queue waited, if none do any more.
func (s *Scheduler) ease(q *queue) {
	if q.waits() {
		return
	}
	for _, w := range s.cramped {
		w.cramped, s.eased = false, true
		s.look(w)
	}
	clear(s.cramped)
	s.cramped = s.cramped[:0]
}

// leaveAlone leaves a worker alone for a while.
func (s *Scheduler) leaveAlone(w *worker) {
	w.fullUntil = s.now.Add(refusalPause)
	s.resting = append(s.resting, rest{w, w.fullUntil})
	s.touch(w)
}

// rest is a worker that is left alone until then, unless it reports a free slot before.
type rest struct {
	worker *worker
	until  time.Time
}

// rouse looks again at the workers whose rest is over.
func (s *Scheduler) rouse() {
	for len(s.resting) > 0 && !s.resting[0].until.After(s.now) {
		s.look(s.resting[0].worker)
		s.resting = s.resting[1:]
	}
}
