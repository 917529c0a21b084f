package core

// Event is one thing that happened, with its place in the one order of all events. Either a step of a task (TaskID is
// not 0) or a change of a worker.
type Event struct {
	Seq      uint64
	At       Instant
	TaskID   uint64
	Type     string // of the task
	WorkerID string
	Reason   string
	Attempt  uint32
	From, To State // of the task

	Aspect        string // of the worker: "state", "stream" or "breaker"
	Before, After string
}

// ring keeps the newest events.
type ring struct {
	events []Event // a circle of at most limit, of which the oldest is at head
	head   int
	limit  int
	last   uint64 // sequence number of the newest
}

// add numbers e and keeps it.
func (r *ring) add(e Event) uint64 {
	r.last++
	e.Seq = r.last
	if len(r.events) < r.limit {
		r.events = append(r.events, e)
		return e.Seq
	}
	r.events[r.head] = e
	r.head = (r.head + 1) % r.limit
	return e.Seq
}

// first returns the sequence number of the oldest event kept; last+1 when none is.
func (r *ring) first() uint64 { return r.last - uint64(len(r.events)) + 1 }

// since appends to buf the events after seq, at most max of them. ok is false when the first wanted one is forgotten.
func (r *ring) since(seq uint64, max int, buf []Event) (events []Event, ok bool) {
	first := r.first()
	if seq+1 < first {
		return buf, false
	}
	for n := seq + 1; n <= r.last && len(buf) < max; n++ {
		buf = append(buf, r.events[(r.head+int(n-first))%len(r.events)])
	}
	return buf, true
}
