package simulation

import (
	"slices"
	"time"

	"taskgrid/client"
)

// network carries calls and streams. Between two processes a way may be cut, in one direction or both; a call may be
// lost before or after it was carried out, in which case the caller does not know which; calls overtake one another,
// and what is sent on a stream arrives in order or not at all.
type network struct {
	*world
	cuts map[route]int // how often each way is cut at the moment
}

// route is a way from one process to another.
type route struct{ from, to string }

// cut makes ways impassable for a while.
func (n *network) cut(d time.Duration, routes ...route) {
	for _, r := range routes {
		n.say("network: nothing gets from %s to %s for %v", r.from, r.to, d)
		n.cuts[r]++
	}
	n.after(d, func() {
		for _, r := range routes {
			n.say("network: %s reaches %s again", r.from, r.to)
			n.cuts[r]--
		}
	})
}

func (n *network) passes(from, to *process) bool { return n.cuts[route{from.name, to.name}] == 0 }

// latency is how long a message is under way.
func (p *process) latency() time.Duration {
	d := 20*time.Microsecond + p.upTo(2*time.Millisecond)
	if p.chance(1) {
		d += p.upTo(time.Second)
	}
	return d
}

// call carries out serve at another process, and what it returns at the caller. When that does not come to be, the
// caller learns what a client of gRPC would: that nobody listens, or nothing at all.
func (n *network) call(from, to *process, timeout time.Duration, serve func() (answer func()), failed func(client.Failure)) {
	over := false
	finish := func(do func()) {
		if !over {
			over = true
			do()
		}
	}
	from.later(timeout, func() { finish(func() { failed(client.InDoubt) }) })
	fail := func(f client.Failure) { from.later(from.latency(), func() { finish(func() { failed(f) }) }) }
	n.after(from.latency(), func() {
		switch {
		case !n.passes(from, to):
		case !to.alive:
			fail(client.NotDone)
		case from.chance(1): // the connection breaks before it
			fail(client.InDoubt)
		default:
			life := to.starts
			to.wake(func() {
				if life != to.starts || !to.alive {
					return
				}
				answer := serve()
				if from.chance(1) { // or after it
					fail(client.InDoubt)
					return
				}
				life := from.starts
				n.after(to.latency(), func() {
					if n.passes(to, from) && life == from.starts && from.alive {
						from.wake(func() { finish(answer) })
					}
				})
			})
		}
	})
}

// stream is a stream between two processes. When it breaks, what is under way is lost, and each end notices later, on
// its own.
type stream struct {
	*world
	ends   [2]*end // who opened it, and the other
	broken bool
	silent time.Duration // how long keepalive has found nobody
}

// end is one end of a stream, and what is under way to it.
type end struct {
	process *process
	life    int              // which run of the process it belongs to: a later one does not hear what was sent to it
	broke   func(why string) // called once, when this end notices that the stream is broken
	noticed bool

	queue   []delivery
	newest  time.Time // when the last of them arrives
	pumping bool
}

type delivery struct {
	at time.Time
	do func()
}

// keepaliveTime is how long gRPC's keepalive takes to find that the other end is silent, here as in production.
const keepaliveTime = 7 * time.Second

// open opens a stream; false: nobody is there.
func (n *network) open(from, to *process, fromBroke, toBroke func(why string)) (s *stream, ok bool) {
	if !to.alive || to.paused || !n.passes(from, to) || !n.passes(to, from) || from.chance(5) {
		return nil, false
	}
	s = &stream{world: n.world, ends: [2]*end{
		{process: from, life: from.starts, broke: fromBroke}, {process: to, life: to.starts, broke: toBroke},
	}}
	for _, e := range s.ends {
		e.process.streams = append(e.process.streams, s)
	}
	s.after(time.Second, s.keepalive)
	return s, true
}

// keepalive breaks a stream whose ends have not reached one another for too long.
func (s *stream) keepalive() {
	if s.broken {
		return
	}
	a, b := s.ends[0].process, s.ends[1].process
	if s.silent += time.Second; s.network.passes(a, b) && s.network.passes(b, a) && !a.paused && !b.paused {
		s.silent = 0
	}
	if s.silent >= keepaliveTime {
		s.cut("keepalive found nobody")
		return
	}
	s.after(time.Second, s.keepalive)
}

// end returns the end of a process, or of the other one.
func (s *stream) end(of *process) (mine, other *end) {
	if s.ends[0].process == of {
		return s.ends[0], s.ends[1]
	}
	return s.ends[1], s.ends[0]
}

// send sends something from a process to the other end. It arrives in order behind what was sent before.
func (s *stream) send(from *process, do func()) {
	if s.broken {
		return
	}
	_, to := s.end(from)
	to.newest = later(to.newest, s.now.Add(from.latency()))
	to.queue = append(to.queue, delivery{to.newest, do})
	s.pump(from, to)
}

// pump delivers what has arrived; while the way is cut, it is sent again and again.
func (s *stream) pump(from *process, to *end) {
	if to.pumping || len(to.queue) == 0 {
		return
	}
	to.pumping = true
	s.at(later(to.queue[0].at, s.now), func() {
		to.pumping = false
		if s.broken && to.noticed || to.life != to.process.starts {
			to.queue = nil
			return
		}
		if !s.network.passes(from, to.process) {
			to.pumping = true
			s.after(50*time.Millisecond, func() {
				to.pumping = false
				s.pump(from, to)
			})
			return
		}
		for len(to.queue) > 0 && !to.queue[0].at.After(s.now) {
			do := to.queue[0].do
			to.queue = to.queue[1:]
			if to.process.alive {
				to.process.wake(func() {
					if to.life == to.process.starts && to.process.alive && !to.noticed {
						do()
					}
				})
			}
		}
		s.pump(from, to)
	})
}

// cut breaks the stream. Some of what was under way still arrives, before the end notices.
func (s *stream) cut(why string) {
	if s.broken {
		return
	}
	s.broken = true
	s.say("stream %s - %s breaks: %s", s.ends[0].process.name, s.ends[1].process.name, why)
	for _, e := range s.ends {
		p := e.process
		e.queue = e.queue[:p.IntN(len(e.queue)+1)]
		p.later(p.upTo(2*time.Second), func() {
			e.noticed = true
			p.streams = slices.DeleteFunc(p.streams, func(other *stream) bool { return other == s })
			e.broke(why)
		})
	}
}
