package core_test

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// The simulation runs machine and scheduler against model workers in virtual time, in one goroutine, from a seed: the
// same seed gives the same log, byte for byte. What may go wrong does: streams break, workers crash, hang, pause and
// come back as somebody else, leaders are lost with what they had proposed, clocks differ, workers lie. A referee looks
// on (sim_referee_test.go). When the faults end, everything that was accepted must come to an end.
//
//	sim_world     time, chance and the log
//	sim_leader    the dispatcher: journal, leadership, ticks
//	sim_stream    Process streams and who dials them
//	sim_worker    model workers, and what the name service says of them
//	sim_chaos     the workload and the faults
//	sim_referee   what must hold

// world is one run.
type world struct {
	rng     *rand.Rand
	now     time.Time
	agenda  agenda
	entries uint64
	log     bytes.Buffer
	faults  bool // things may go wrong

	leader  *dispatcher
	workers []*worker
	referee *referee
	clients *clients
}

// start is when every run begins.
var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// newWorld lays out a grid: two to four workers, of which every type has at least one.
func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x7461736b67726964)), now: start, faults: true}
	w.referee = newReferee(w)
	w.clients = &clients{world: w, keys: map[string]uint64{}}
	w.leader = newDispatcher(w)
	for i := range 2 + w.rng.IntN(3) {
		w.workers = append(w.workers, newWorker(w, i))
	}
	return w
}

// say writes a line into the log.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.log, "%9.4f ", w.now.Sub(start).Seconds())
	fmt.Fprintf(&w.log, format, args...)
	w.log.WriteByte('\n')
}

// chance is true in p of 100 cases, as long as things may go wrong.
func (w *world) chance(p int) bool { return w.faults && w.rng.IntN(100) < p }

// upTo returns a time of at most d, short ones more often than long ones.
func (w *world) upTo(d time.Duration) time.Duration {
	return d >> w.rng.IntN(8) * time.Duration(w.rng.IntN(100)) / 100
}

// entry is something that happens at a time.
type entry struct {
	at  time.Time
	seq uint64
	do  func()
}

// agenda is what is going to happen, the next on top; of what happens at the same time, what was planned first.
type agenda []*entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*entry)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// after lets something happen.
func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(max(0, d)), do) }

func (w *world) at(at time.Time, do func()) {
	w.entries++
	heap.Push(&w.agenda, &entry{at, w.entries, do})
}

// run lets things happen until a time, or until something has gone wrong or done says it is enough.
func (w *world) run(until time.Time, done func() bool) {
	for len(w.agenda) > 0 && !w.agenda[0].at.After(until) && w.referee.verdict == nil && !done() {
		e := heap.Pop(&w.agenda).(*entry)
		w.now = e.at
		e.do()
		w.referee.look()
	}
	if w.now.Before(until) && !done() {
		w.now = until
	}
}
