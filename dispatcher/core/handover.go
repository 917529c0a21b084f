package core

import (
	"fmt"
	"time"
)

// Strategy is how a worker is chosen among those that are ready.
type Strategy uint8

// The strategies.
const (
	LeastLoaded Strategy = iota // the least share of its capacity in use; ties by turn
	RoundRobin                  // whose turn is longest ago
	Random
)

var strategyNames = [...]string{"least-loaded", "round-robin", "random"}

// String returns the strategy's name, such as "least-loaded".
func (s Strategy) String() string { return strategyNames[s] }

// ParseStrategy returns the strategy of a name.
func ParseStrategy(name string) (Strategy, error) {
	for i, n := range strategyNames {
		if n == name {
			return Strategy(i), nil
		}
	}
	return 0, fmt.Errorf("%q: must be least-loaded, round-robin or random", name)
}

// Flush hands over what can be handed over. The driver calls it once at the end of each of its steps. Types that share a
// worker take turns, task by task: first comes the one whose last hand-over is longest ago, so that none starves.
func (s *Scheduler) Flush() {
	s.rouse()
	if s.uneven {
		s.weigh()
	}
	rested, active := s.rounds[:0], s.active[:0]
	for _, q := range s.rounds {
		q.last = nil
		if q.dirty && s.handOverOne(q) {
			active = append(active, q)
		} else {
			rested = append(rested, q)
		}
	}
	for len(active) > 0 {
		again := active[:0]
		for _, q := range active {
			if s.handOverOne(q) {
				again = append(again, q)
			} else {
				rested = append(rested, q)
			}
		}
		active = again
	}
	s.rounds, s.active = rested, active
	if s.eased {
		s.eased = false
		s.Flush()
	}
}

// handOverOne hands over the task in front of a queue. It returns false when there is none, or no worker for it; the
// queue is looked at again when that may have changed.
func (s *Scheduler) handOverOne(q *queue) bool {
	t := q.front(s.live)
	if t == nil {
		q.dirty = false
		return false
	}
	w := s.again(q, t)
	if w == nil {
		if w = s.pick(q, t); w == nil {
			q.dirty = false
			return false
		}
		s.choose(w.place(q))
	}
	q.pop(t)
	s.ease(q)
	s.handOver(q, w, t)
	return true
}

// A message to a worker costs both sides together about messageCost of processor time. So a worker that does several tasks
// of a type in no longer than that gets as many of them with one choice, if so many wait: at most a handful, so that work
// is spread all the same. Where no more than a handful of workers are ready, they are spread one by one: messages to few
// workers are full without it. The other strategies give to each worker in turn, or at random, task by task.
const (
	messageCost = 100 * time.Microsecond
	handful     = 16
)

// choose notes that a worker was chosen, and how many more tasks of the queue it may get.
func (s *Scheduler) choose(p *place) {
	p.queue.last, p.queue.more = p, 0
	if s.cfg.Strategy == LeastLoaded && p.short() && p.queue.ready.Len() > handful {
		p.queue.more = max(0, min(handful, int(messageCost/p.typical))-1)
	}
}

// again returns the worker that was chosen last if it is to get this task too, else nil.
func (s *Scheduler) again(q *queue, t *Task) *worker {
	if q.last == nil || q.more == 0 {
		return nil
	}
	w := q.last.worker
	if _, haunted := w.ghosts[ghost{t.ID, s.nextToken(t)}]; haunted || w.tried(t) || !w.ready(q.last, s.now) {
		return nil
	}
	q.more--
	return w
}

// nextToken returns the token of a task's next hand-over. A worker may have a ghost that bears it, from an earlier session
// of the journal in the same term: it could not tell the two apart.
func (s *Scheduler) nextToken(t *Task) Token {
	return NewToken(s.term, t.Attempt.Number()+1+s.cfg.Again)
}

// tried tells whether the task's latest attempt was with this process.
func (w *worker) tried(t *Task) bool { return t.Attempt != 0 && t.LeaseID == w.info.LeaseID }

// handOver gives an attempt of a task to a worker. The assignment goes out at once, while its record is still on the
// way to the disk: if that record is lost with this leader, its token is too, and nothing that bears it will count.
func (s *Scheduler) handOver(q *queue, w *worker, t *Task) {
	done, err := w.breaker.Allow()
	if err != nil { // it has changed its mind since it said what it said last
		w.breaking = w.breaker.State()
		s.leaveAlone(w)
		q.giveBack(t)
		return
	}
	s.turns++
	w.turn = s.turns
	token := s.nextToken(t)
	f := &flight{
		spec: t.Spec, token: token, worker: w, workerID: w.info.ID, leaseID: w.info.LeaseID,
		handed: s.now, deadline: s.now.Add(t.AttemptTimeout), done: done,
		timer: timer{task: t.ID, due: s.now.Add(t.AttemptTimeout)},
	}
	f.short = w.place(q).short()
	if w.breaking == BreakerHalfOpen {
		w.probe = f
	}
	s.flights[t.ID] = f
	q.flying++
	s.board(w, f)
	s.timers.add(&f.timer)
	s.propose(&Dispatch{At: At(s.now), Task: t.ID, Token: token, WorkerID: w.info.ID, LeaseID: w.info.LeaseID})
	s.send(w, Message{Kind: Assign, Task: t.ID, Token: token, Spec: t.Spec, Timeout: t.AttemptTimeout})
}

// board gives a flight a slot of the worker.
func (s *Scheduler) board(w *worker, f *flight) {
	f.worker = w
	w.flights[f.task] = f
	if !f.short {
		w.slow++
	}
	s.touch(w)
}

// release takes a flight off its worker. A slot that the worker has not said to be free stays taken, as a ghost, and
// the worker is told to stop.
func (s *Scheduler) release(f *flight, occupied bool) {
	w := f.worker
	if w == nil {
		s.disown(f)
		s.settle(f, false) // a probe that was set aside
		return
	}
	if w.flights[f.task] != f {
		return
	}
	delete(w.flights, f.task)
	if !f.short {
		w.slow--
	}
	s.touch(w)
	if occupied && w.link != 0 {
		w.ghosts[ghost{f.task, f.token}] = f
		w.slow++
		s.send(w, Message{Kind: Stop, Task: f.task, Token: f.token})
		return
	}
	s.settle(f, true)
	s.look(w)
}

// settle tells the breaker how an attempt went, once. There may be no attempt.
func (s *Scheduler) settle(f *flight, ok bool) {
	if f == nil || f.done == nil {
		return
	}
	done := f.done
	f.done = nil
	if w := s.workers[f.workerID]; w != nil && w.probe == f {
		w.probe = nil
		s.touch(w)
	}
	done(ok)
}

// drop gives an attempt up. Its worker, if it is still connected, is told to stop.
func (s *Scheduler) drop(f *flight, how Ending, why string) {
	if f.phase != aloft {
		return
	}
	f.phase = dropped
	s.timers.stop(&f.timer)
	if f.worker != nil {
		f.worker.failed++
	}
	s.release(f, true)
	s.end(f, how, why)
}

// lose gives an attempt up because its worker is lost.
func (s *Scheduler) lose(f *flight, why string) { s.drop(f, EndLost, why) }

// end proposes how an attempt ended.
func (s *Scheduler) end(f *flight, how Ending, text string) {
	if how.began() {
		f.untold = false // this record says it
	}
	s.tellStart(f)
	rec := &End{At: At(s.now), Task: f.task, Token: f.token, Duration: s.now.Sub(f.handed), How: how, Text: text}
	if how != EndResult && how != EndInvalidPayload && how != EndPermanent {
		rec.RetryAt = At(s.now.Add(s.pause(f.task)))
	}
	s.propose(rec)
}

// pause returns how long a task waits before it is tried again.
func (s *Scheduler) pause(id uint64) time.Duration {
	n := 1
	if t := s.m.Task(id); t != nil {
		n += int(t.Attempts) + int(t.Redeliveries)
	}
	return s.cfg.Backoff(max(1, n-1))
}

// disown takes a flight from the list of those whose worker has not come back yet.
func (s *Scheduler) disown(f *flight) {
	list := s.orphans[f.workerID]
	for i := range list {
		if list[i] == f {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if s.orphans[f.workerID] = list; len(list) == 0 {
		delete(s.orphans, f.workerID)
	}
}
