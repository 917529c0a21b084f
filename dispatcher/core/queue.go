package core

import "time"

// Priorities is how many there are: 0 to 9, the highest first.
const Priorities = 10

// queue holds the QUEUED tasks of one type: by priority, and within one in the order in which they were queued.
//
// A task that is cancelled stays in it until it comes to the front or until the queue is swept: what counts is whether
// the version that was queued is still the task's version.
type queue struct {
	typ    string
	byPrio [Priorities]deque
	held   int    // tasks in it, dead ones included
	dead   int    // of these, how many are no longer QUEUED
	ready  lineup // the workers that may be handed its tasks
	last   *place // who was chosen last in this flush; else nil
	more   int    // tasks that it may be handed without another choice
	dirty  bool   // something may be handed over; the scheduler looks at it in its next flush

	queued time.Time // when a task came into it last
	flying int       // tasks of the type that are with a worker
	short  bool      // the worker that ended one last is known to do them within the lookahead
	narrow bool      // there is a light type beside it; see weigh
	turned bool      // narrow has changed in the latest weigh
}

// waits tells whether a task in it is still QUEUED.
func (q *queue) waits() bool { return q.held > q.dead }

// push adds a task at the end.
func (q *queue) push(t *Task) {
	q.byPrio[t.Priority].pushBack(t)
	q.held++
}

// giveBack adds a task that had already come to the front once. It stands before all that were queued after it; several
// that come back at the same time pass each other, whichever comes first.
func (q *queue) giveBack(t *Task) {
	d := &q.byPrio[t.Priority]
	d.pushFront(t)
	for i := 1; i < d.n && d.at(i).Order < t.Order; i++ {
		*d.place(i - 1), *d.place(i) = d.at(i), t
	}
	q.held++
}

// front returns the task that is next, nil when there is none. live says whether a version is still the task's.
func (q *queue) front(live func(*Task) bool) *Task {
	for prio := Priorities - 1; prio >= 0; prio-- {
		d := &q.byPrio[prio]
		for d.n > 0 {
			if t := d.front(); live(t) {
				return t
			}
			d.popFront()
			q.held--
			q.dead--
		}
	}
	return nil
}

// pop takes out what front returned.
func (q *queue) pop(t *Task) {
	q.byPrio[t.Priority].popFront()
	q.held--
}

// bury notes that a task in the queue is no longer QUEUED. When most of what it holds is dead, it is swept, so that
// tasks that are submitted and cancelled do not pile up while no worker comes.
func (q *queue) bury(live func(*Task) bool) {
	q.dead++
	if q.dead < 1024 || q.dead*2 < q.held {
		return
	}
	for prio := range q.byPrio {
		d := &q.byPrio[prio]
		for n := d.n; n > 0; n-- {
			if t := d.popFront(); live(t) {
				d.pushBack(t)
			} else {
				q.held--
			}
		}
	}
	q.dead = 0
}

// deque is a circle of tasks that grows by doubling.
type deque struct {
	ring []*Task
	head int
	n    int
}

// place is where the i-th task stands, counted from the front.
func (d *deque) place(i int) **Task { return &d.ring[(d.head+i)%len(d.ring)] }

func (d *deque) at(i int) *Task { return *d.place(i) }

func (d *deque) front() *Task { return d.at(0) }

func (d *deque) popFront() *Task {
	t := d.ring[d.head]
	d.ring[d.head] = nil
	d.head = (d.head + 1) % len(d.ring)
	d.n--
	if d.n == 0 && len(d.ring) > 1024 {
		*d = deque{}
	}
	return t
}

func (d *deque) pushBack(t *Task) {
	d.grow()
	*d.place(d.n) = t
	d.n++
}

func (d *deque) pushFront(t *Task) {
	d.grow()
	d.head = (d.head + len(d.ring) - 1) % len(d.ring)
	d.ring[d.head] = t
	d.n++
}

func (d *deque) grow() {
	if d.n < len(d.ring) {
		return
	}
	bigger := make([]*Task, max(8, 2*len(d.ring)))
	for i := range d.n {
		bigger[i] = d.at(i)
	}
	d.ring, d.head = bigger, 0
}
