package simulation

import (
	"fmt"
	"slices"
	"time"

	"taskgrid/client"
	"taskgrid/dispatcher/core"
	"taskgrid/nameservice"
	"taskgrid/workers"
)

// worker is a worker process around its Slots.
type worker struct {
	*process
	id       string
	types    []string
	limits   workers.Limits
	address  string
	lease    string
	draining bool

	slots  *workers.Slots
	stream *stream // the current one, as far as it knows
	link   *link   // the dispatcher's end of it
}

const (
	callTimeout = time.Second
	drainGrace  = 3 * time.Second
)

func newWorker(w *world, i int) *worker {
	wk := &worker{process: w.newProcess(fmt.Sprint("w", i)), id: fmt.Sprint("w", i)}
	wk.limits = workers.Limits{
		Capacity: 1 + wk.IntN(3), Window: []int{0, 0, 5}[wk.IntN(3)],
		Outcomes: 1000, OutcomeBytes: 1 << 20,
	}
	wk.types = [][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "c"}, {"a", "b", "c"}}[wk.IntN(5)]
	if i == 0 {
		wk.types = []string{"a", "b", "c"} // so that each has one
	}
	w.after(wk.upTo(time.Second), wk.boot)
	return wk
}

// boot starts the process, with nothing of what an earlier one had. It may get the address that another one had before.
func (wk *worker) boot() {
	if wk.alive {
		return
	}
	wk.begin()
	for wk.address == "" || wk.hosts[wk.address] != nil && wk.hosts[wk.address] != wk {
		wk.address = fmt.Sprintf("10.0.0.%d:50060", 1+wk.IntN(6))
	}
	wk.hosts[wk.address] = wk
	wk.draining, wk.lease = false, fmt.Sprintf("%slease%d", wk.id, wk.starts)
	wk.slots, wk.stream = workers.NewSlots(wk.limits), nil
	wk.say("%s: starts at %s, capacity %d, window %d, types %v", wk.id, wk.address, wk.limits.Capacity, wk.limits.Window, wk.types)
	for _, ns := range wk.nameservices {
		wk.register(ns)
	}
}

// crash ends it. What it held is lost, and its address is free.
func (wk *worker) crash() {
	if !wk.alive {
		return
	}
	wk.say("%s: crashes with %d attempts, %d outcomes", wk.id, wk.slots.Load().Held(), wk.slots.Load().Unacknowledged)
	wk.leave()
}

func (wk *worker) leave() {
	wk.stream = nil
	delete(wk.hosts, wk.address)
	wk.address = ""
	wk.end()
}

// register enters it with a name service, however long that takes, and keeps the lease alive from then on.
func (wk *worker) register(ns *nameService) {
	a := nameservice.Application{
		Registration: &nameservice.Registration{ID: wk.id, Types: wk.types, Address: wk.address, Capacity: uint32(wk.limits.Capacity)},
		Lease:        wk.lease, Draining: wk.draining,
	}
	again := func(client.Failure) {
		wk.later(100*time.Millisecond+wk.upTo(2*time.Second), func() { wk.register(ns) })
	}
	wk.network.call(wk.process, ns.process, callTimeout, func() func() {
		_ = ns.register(a)
		return func() { wk.later(times.HeartbeatInterval, func() { wk.heartbeat(ns) }) }
	}, again)
}

func (wk *worker) heartbeat(ns *nameService) {
	next := func() { wk.later(times.HeartbeatInterval, func() { wk.heartbeat(ns) }) }
	lease := wk.lease
	wk.network.call(wk.process, ns.process, callTimeout, func() func() {
		state, known := ns.heartbeat(lease, wk.id)
		return func() {
			switch {
			case !known:
				wk.register(ns)
				return
			case wk.draining && state != nameservice.Draining:
				wk.askToDrain(ns)
			}
			next()
		}
	}, func(client.Failure) { next() })
}

func (wk *worker) askToDrain(ns *nameService) {
	lease := wk.lease
	wk.network.call(wk.process, ns.process, callTimeout, func() func() {
		ns.setDraining(wk.id, lease)
		return func() {}
	}, func(client.Failure) {})
}

// hello is the first message on a Process stream.
type hello struct {
	id, lease string
	window    int
	held      []core.Held
	outcomes  []core.Outcome
}

// attach takes a new stream, which becomes the current one, and says Hello.
func (wk *worker) attach(s *stream, l *link) hello {
	if old := wk.stream; old != nil {
		old.cut("taken over")
	}
	wk.stream, wk.link = s, l
	h := hello{id: wk.id, lease: wk.lease, window: wk.limits.Window}
	for _, a := range wk.slots.Held() {
		h.held = append(h.held, core.Held{Task: a.Task, Token: core.Token(a.Attempt), Started: a.Started()})
	}
	for _, o := range wk.slots.Unacknowledged() {
		h.outcomes = append(h.outcomes, outcomeOf(o))
	}
	return h
}

func (wk *worker) detach(s *stream) {
	if wk.stream == s {
		wk.stream = nil
	}
}

// answer sends something on the current stream. Without one it is lost; what matters is in the next Hello.
func (wk *worker) answer(do func(s *core.Scheduler, link core.Link) string) {
	if s, l := wk.stream, wk.link; s != nil {
		s.send(wk.process, func() { l.heard(do) })
	}
}

// receive takes messages of the dispatcher.
func (wk *worker) receive(s *stream, messages []core.Message) {
	if wk.stream != s {
		return
	}
	for _, m := range messages {
		key := workers.Key{Task: m.Task, Attempt: uint64(m.Token)}
		switch m.Kind {
		case core.Assign:
			wk.assign(key, m)
		case core.Stop:
			wk.stop(key)
		case core.Acknowledge:
			wk.slots.Acknowledge(key)
		}
	}
	wk.execute()
}

func (wk *worker) assign(key workers.Key, m core.Message) {
	if !slices.Contains(wk.types, m.Spec.Type) {
		wk.referee.fail("%s is handed task %d of type %s, and has %v", wk.id, m.Task, m.Spec.Type, wk.types)
	}
	a := &workers.Attempt{Key: key, Type: m.Spec.Type, Payload: m.Spec.Payload, Deadline: wk.clock().Add(m.Timeout)}
	if wk.chance(5) {
		wk.refuse(a, "not now")
		return
	}
	switch wk.slots.Offer(a) {
	case workers.NoSlot:
		if wk.slots.Load().Running <= wk.limits.Capacity && !wk.stubborn() {
			wk.referee.fail("%s has %d slots and keeps %d waiting, and was handed task %d beyond them", wk.id, wk.limits.Capacity, wk.limits.Window, m.Task)
		}
		wk.refuse(a, "no free slot")
	case workers.Draining:
		wk.refuse(a, "the worker drains")
	}
}

// stubborn says whether some handler runs on although its outcome is not wanted: of such slots a dispatcher that came
// later cannot know.
func (wk *worker) stubborn() bool {
	l := wk.slots.Load()
	return l.Held() > len(wk.slots.Held())
}

func (wk *worker) refuse(a *workers.Attempt, why string) {
	draining := wk.draining
	wk.say("%s: hands back task %d, attempt %x: %s", wk.id, a.Task, a.Attempt, why)
	wk.answer(func(s *core.Scheduler, link core.Link) string {
		if draining {
			s.Drains(link)
		}
		return s.Refused(link, a.Task, core.Token(a.Attempt), why)
	})
}

// drain is SIGTERM: nothing new, what runs may finish within the grace, the rest is handed back; then it deregisters
// and goes.
func (wk *worker) drain() {
	if !wk.alive || wk.draining || wk.paused {
		return
	}
	wk.say("%s: drains", wk.id)
	wk.draining = true
	for _, ns := range wk.nameservices {
		wk.askToDrain(ns)
	}
	for _, a := range wk.slots.Drain() {
		wk.refuse(a, "the worker drains")
	}
	wk.later(drainGrace, func() {
		for _, a := range wk.slots.HandBack() {
			wk.refuse(a, "the worker ends before the attempt did")
		}
		lease := wk.lease
		for _, ns := range wk.nameservices {
			wk.network.call(wk.process, ns.process, callTimeout, func() func() {
				ns.deregister(lease)
				return func() {}
			}, func(client.Failure) {})
		}
		wk.later(time.Second, func() {
			wk.say("%s: has drained and ends", wk.id)
			wk.leave()
		})
	})
}
