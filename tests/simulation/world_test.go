package simulation

import (
	"bytes"
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// world is one run of one seed.
type world struct {
	seed    uint64
	now     time.Time
	agenda  agenda
	entries uint64
	log     bytes.Buffer
	quiet   bool // nobody is going to read the log
	faults  bool // things may go wrong

	bug          bug // what is wrong with this grid on purpose, for the tests of the tests
	network      *network
	nameservices []*nameService
	dispatcher   *dispatcher
	workers      []*worker
	hosts        map[string]*worker // who listens at an address
	clients      []*clientProcess
	referee      *referee
}

// start is when every run begins.
var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// newWorld lays out a grid: one or two name services, two to four workers, of which every type has at least one, a
// dispatcher, and one to three clients.
func newWorld(seed uint64, b bug) *world {
	w := &world{seed: seed, now: start, faults: true, bug: b, hosts: map[string]*worker{}}
	rng := w.chanceOf("layout")
	w.referee = newReferee(w)
	w.network = &network{world: w, cuts: map[route]int{}}
	for i := range 1 + rng.IntN(2) {
		w.nameservices = append(w.nameservices, newNameService(w, i))
	}
	for i := range 2 + rng.IntN(3) {
		w.workers = append(w.workers, newWorker(w, i))
	}
	w.dispatcher = newDispatcher(w)
	for i := range 1 + rng.IntN(3) {
		w.clients = append(w.clients, newClient(w, i))
	}
	return w
}

// chanceOf returns the dice of one part of the world. Each has its own, so that what one part does changes little of
// what the others do: it makes failures shrink.
func (w *world) chanceOf(name string) *dice {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return &dice{Rand: rand.New(rand.NewPCG(w.seed, h.Sum64())), world: w}
}

// dice are the chances of one part of the world.
type dice struct {
	*rand.Rand
	world *world
}

// chance is true in p of 100 cases, as long as things may go wrong.
func (d *dice) chance(p int) bool { return d.world.faults && d.IntN(100) < p }

// upTo returns a time of at most t, short ones more often than long ones.
func (d *dice) upTo(t time.Duration) time.Duration {
	return t >> d.IntN(8) * time.Duration(d.IntN(100)) / 100
}

// say writes a line into the log.
func (w *world) say(format string, args ...any) {
	if w.quiet {
		return
	}
	fmt.Fprintf(&w.log, "%9.4f ", w.now.Sub(start).Seconds())
	fmt.Fprintf(&w.log, format, args...)
	w.log.WriteByte('\n')
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

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
