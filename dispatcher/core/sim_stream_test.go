package core_test

import (
	"slices"
	"time"

	"taskgrid/dispatcher/core"
)

// stream is a Process stream. What is sent on it arrives in order, or not at all: when it breaks, what is under way is
// lost, and each end notices later, on its own.
type stream struct {
	*world
	worker               *worker
	session              int
	dial                 dial
	link                 core.Link // 0 until Hello has arrived
	broken               bool
	seen                 bool      // the leader has noticed that it is broken
	forWorker, forLeader time.Time // when the newest message in each direction arrives
}

// hearOf tells the leader what the name service says of a worker, and lets it dial one that is new to it.
func (d *dispatcher) hearOf(wk *worker) {
	if d.scheduler == nil {
		return
	}
	info, listed := wk.listed()
	wk.told = info.State
	if !listed {
		wk.dialled = dial{}
		d.step(func(s *core.Scheduler) { s.RemoveWorker(info.ID) })
		return
	}
	d.step(func(s *core.Scheduler) { s.SetWorker(info) })
	if wk.dialled.session != d.session || wk.dialled.lease != info.LeaseID {
		d.dials++
		as := dial{d.session, info.LeaseID, d.dials}
		wk.dialled = as
		d.after(d.upTo(20*time.Millisecond), func() { d.dial(wk, as) })
	}
}

// dial names who keeps a stream to whom.
type dial struct {
	session int
	lease   string
	number  int
}

// dial opens a stream to a worker, if it can be reached, and tries again later otherwise.
func (d *dispatcher) dial(wk *worker, as dial) {
	if d.session != as.session || wk.dialled != as || d.scheduler == nil {
		return
	}
	if !wk.alive || wk.paused || wk.lease != as.lease || d.chance(10) {
		d.step(func(s *core.Scheduler) { s.Unreachable(wk.id, as.lease, "connection refused") })
		d.after(100*time.Millisecond+d.upTo(2*time.Second), func() { d.dial(wk, as) })
		return
	}
	s := &stream{world: d.world, worker: wk, session: d.session, dial: as}
	held, outcomes := wk.attach(s)
	d.say("%s: says Hello: runs %d, %d outcomes", wk.id, len(held), len(outcomes))
	s.toLeader(func() {
		d.step(func(sched *core.Scheduler) {
			link, err := sched.Connect(wk.id, as.lease, wk.window, held, outcomes)
			if err != nil {
				d.say("%s: stream refused: %v", wk.id, err)
				s.cut()
				return
			}
			s.link = link
			d.streams[link] = s
		})
	})
}

// delay is how long a message is under way, in order behind the one before.
func (s *stream) delay(last *time.Time) time.Time {
	d := 20*time.Microsecond + s.upTo(2*time.Millisecond)
	if s.chance(1) {
		d += s.upTo(time.Second)
	}
	*last = later(*last, s.now.Add(d))
	return *last
}

// toLeader carries something to the leader.
func (s *stream) toLeader(do func()) {
	s.at(s.delay(&s.forLeader), func() {
		// What an old stream said may come late, but not its Hello.
		if s.session == s.leader.session && (!s.broken || !s.seen && s.chance(50) || s.link != 0 && s.chance(20)) {
			do()
		}
	})
}

// toWorker carries messages to the worker.
func (s *stream) toWorker(messages []core.Message) {
	messages = slices.Clone(messages)
	s.at(s.delay(&s.forWorker), func() {
		s.worker.wake(func() {
			if !s.broken && s.worker.stream == s {
				s.worker.receive(messages)
			}
		})
	})
}

// cut breaks the stream.
func (s *stream) cut() {
	if s.broken {
		return
	}
	s.broken = true
	s.say("%s: stream %d breaks", s.worker.id, s.link)
	s.after(s.upTo(2*time.Second), func() { // the worker notices
		if s.worker.stream == s {
			s.worker.stream = nil
		}
	})
	if s.session == s.leader.session {
		s.after(s.upTo(3*time.Second), s.noticed)
	}
}

// noticed is when the leader sees that the stream is broken; then it dials again.
func (s *stream) noticed() {
	d := s.leader
	if s.session != d.session {
		return
	}
	if s.link != 0 {
		d.step(func(sched *core.Scheduler) { sched.Disconnect(s.link, "broken", true) })
		delete(d.streams, s.link)
	}
	s.seen = true
	d.after(s.upTo(200*time.Millisecond), func() { d.dial(s.worker, s.dial) })
}
