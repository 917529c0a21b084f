package core

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// refusalPause is how long a worker that refused for capacity is left alone, unless it reports a free slot before.
const refusalPause = 100 * time.Millisecond

// SetWorker takes what the name services say of a worker now.
func (s *Scheduler) SetWorker(info WorkerInfo) {
	w := s.workers[info.ID]
	before := WorkerUnknown
	switch {
	case w == nil:
		w = s.admit(info)
	case w.info.LeaseID != info.LeaseID:
		before = w.info.State
		s.evict(w, "replaced by another registration of "+info.ID)
		w = s.admit(info)
	default:
		before = w.info.State
		if !slices.Equal(w.info.Types, info.Types) {
			s.unlist(w)
			s.list(w, info.Types)
		}
		w.info = info
	}
	for _, f := range slices.Clone(s.orphans[info.ID]) {
		if f.leaseID != info.LeaseID {
			s.lose(f, fmt.Sprintf("worker %s was restarted", info.ID))
		}
	}
	for _, typ := range info.Types {
		s.know(typ)
	}
	if before != info.State {
		s.note(info.ID, "state", before.String(), info.State.String(), "")
	}
	if info.State == WorkerOffline && before != WorkerOffline {
		s.abandon(w, fmt.Sprintf("worker %s is offline: its heartbeats stopped", info.ID))
		s.fault(w)
	}
	if before != WorkerActive && info.State == WorkerActive {
		w.leaving = false
	}
	s.look(w)
}

// RemoveWorker takes away a worker that the name services no longer know.
func (s *Scheduler) RemoveWorker(id string) {
	for _, f := range slices.Clone(s.orphans[id]) {
		s.lose(f, fmt.Sprintf("worker %s is gone", id))
	}
	if w := s.workers[id]; w != nil {
		s.evict(w, fmt.Sprintf("worker %s is gone", id))
		s.note(id, "state", w.info.State.String(), "", "")
	}
}

// admit enters a worker.
func (s *Scheduler) admit(info WorkerInfo) *worker {
	w := &worker{info: info, flights: map[uint64]*flight{}, ghosts: map[ghost]*flight{}, linkError: "not connected yet"}
	w.breaker = s.cfg.NewBreaker(func(from, to BreakerState) {
		w.breaking, w.probe = to, nil
		if to != BreakerClosed && !w.unwell {
			w.unwell = true
			s.unwell = append(s.unwell, w)
		}
		s.note(info.ID, "breaker", from.String(), to.String(), "")
		s.look(w)
	})
	s.workers[info.ID] = w
	s.list(w, info.Types)
	return w
}

// evict takes a worker away with everything it has.
func (s *Scheduler) evict(w *worker, why string) {
	if w.link != 0 {
		s.note(w.info.ID, "stream", "connected", "broken", why)
	}
	s.unlink(w, why)
	s.settle(w.probe, false)
	s.unlist(w)
	delete(s.workers, w.info.ID)
}

// list gives a worker a place with the queue of each of its types.
func (s *Scheduler) list(w *worker, types []string) {
	for _, typ := range types {
		if q := s.queue(typ); w.place(q) == nil {
			w.places = append(w.places, &place{worker: w, queue: q, index: -1})
		}
	}
}

// unlist takes them from it.
func (s *Scheduler) unlist(w *worker) {
	for _, p := range w.places {
		p.queue.ready.leave(p)
	}
	w.places = nil
}

// know makes a type known to the machine, so that tasks of it are accepted from now on and after a restart.
func (s *Scheduler) know(typ string) {
	if s.m.Known(typ) || s.asked[typ] {
		return
	}
	maps.DeleteFunc(s.asked, func(typ string, _ bool) bool { return s.m.Known(typ) })
	if len(s.asked)+len(s.m.types) >= s.cfg.MaxTypes {
		return
	}
	s.asked[typ] = true
	s.propose(&KnownType{Type: typ})
}

func (s *Scheduler) note(worker, aspect, before, after, why string) {
	s.propose(&WorkerChange{At: At(s.now), WorkerID: worker, Aspect: aspect, Before: before, After: after, Reason: why})
}

// Held is an attempt that a worker says it still has.
type Held struct {
	Task    uint64
	Token   Token
	Started bool
}

// Connect begins a Process stream to a worker that has said Hello: the attempts it still has, the outcomes that nobody
// acknowledged. What still counts goes on; the rest is stopped or acknowledged away. It returns the stream's number;
// an error means that the worker is not the one that the name service told of, and that the stream must be closed.
func (s *Scheduler) Connect(id, lease string, window int, held []Held, outcomes []Outcome) (Link, error) {
	w := s.workers[id]
	if w == nil || w.info.LeaseID != lease {
		return 0, fmt.Errorf("the name service knows no worker %q with lease %q", id, lease)
	}
	s.unlink(w, "replaced by a new stream")
	s.links++
	w.link, w.linkError, w.window = s.links, "", window
	w.fullUntil, w.leaving = time.Time{}, false
	s.byLink[w.link] = w
	s.note(id, "stream", "", "connected", "")
	for _, h := range held {
		if !s.reclaim(w, h) {
			s.haunt(w, h)
		}
	}
	for _, o := range outcomes {
		s.reclaim(w, Held{Task: o.Task, Token: o.Token, Started: true})
		s.Outcome(w.link, o)
	}
	for _, f := range slices.Clone(s.orphans[id]) {
		s.lose(f, fmt.Sprintf("worker %s came back without it", id))
	}
	s.look(w)
	return w.link, nil
}

// reclaim gives an attempt that began under an earlier leader back to the worker that has it. It returns false when the
// worker has it in vain.
func (s *Scheduler) reclaim(w *worker, h Held) bool {
	f := s.flights[h.Task]
	if f == nil || f.token != h.Token {
		return false
	}
	if f.worker == w && f.phase != dropped {
		return true // named twice, or its outcome is on the way to the disk
	}
	if f.worker != nil || f.phase != aloft || f.workerID != w.info.ID || f.leaseID != w.info.LeaseID {
		return false
	}
	s.disown(f)
	s.timers.stop(&f.timer)
	f.due = f.deadline
	s.timers.add(&f.timer)
	s.board(w, f)
	if h.Started && !f.started {
		s.begin(f)
	}
	return true
}

// haunt stops what a worker has in vain. It holds a slot until the worker answers.
func (s *Scheduler) haunt(w *worker, h Held) {
	g := ghost{h.Task, h.Token}
	if _, twice := w.ghosts[g]; twice {
		return
	}
	w.ghosts[g] = nil
	w.slow++
	s.send(w, Message{Kind: Stop, Task: h.Task, Token: h.Token})
}

// Disconnect ends a Process stream. What the worker had is tried again at once, unless this process has just woken; see
// Woke. fault says that the end was the worker's
// fault, which its breaker counts: not one that drains, nor one on which we hung up.
func (s *Scheduler) Disconnect(link Link, why string, fault bool) {
	w := s.byLink[link]
	if w == nil {
		return // it was replaced
	}
	s.note(w.info.ID, "stream", "connected", "broken", why)
	if s.awakening() {
		s.setAside(w)
		fault = false // it was our own
	}
	s.unlink(w, fmt.Sprintf("the stream to worker %s broke: %s", w.info.ID, why))
	w.linkError = why
	if fault {
		s.fault(w)
	}
}

// Unreachable says that no stream to a worker could be opened.
func (s *Scheduler) Unreachable(id, lease, why string) {
	if w := s.workers[id]; w != nil && w.info.LeaseID == lease && w.link == 0 {
		w.linkError = why
		s.fault(w)
	}
}

// fault tells the breaker of a fault that is not an attempt's.
func (s *Scheduler) fault(w *worker) {
	if done, err := w.breaker.Allow(); err == nil {
		done(false)
	}
}

// unlink forgets a worker's stream, and gives up what was handed over on it.
func (s *Scheduler) unlink(w *worker, why string) {
	if w.link == 0 {
		return
	}
	delete(s.byLink, w.link)
	w.link, w.outbox, w.patient = 0, nil, false
	s.abandon(w, why)
	clear(w.ghosts)
	w.slow = 0
	s.touch(w)
}

// abandon gives up everything that a worker has, in the order of the tasks. For its breaker that is one fault, however
// much it had, of which the caller tells; but a probe has failed, unless it was set aside.
func (s *Scheduler) abandon(w *worker, why string) {
	if w.probe != nil && w.probe.worker == w {
		s.settle(w.probe, false)
	}
	for _, id := range slices.Sorted(maps.Keys(w.flights)) {
		f := w.flights[id]
		f.done = nil
		s.lose(f, why)
	}
}
