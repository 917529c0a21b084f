package core

import (
	"fmt"
	"maps"
	"slices"
)

// Loose is what a scheduler holds of attempts and of tasks that wait. When all tasks are terminal and all workers have
// answered, all of it is zero.
type Loose struct {
	Flights, Orphans, Waits, Timers, Ghosts, Held int
}

// Loose counts.
func (s *Scheduler) Loose() Loose {
	loose := Loose{Flights: len(s.flights), Orphans: len(s.orphans), Waits: len(s.waits), Timers: len(s.timers)}
	for _, w := range s.workers {
		loose.Ghosts += len(w.ghosts)
	}
	for _, q := range s.rounds {
		loose.Held += q.held
	}
	return loose
}

// Check returns an error if what the scheduler holds contradicts itself or the machine.
func (s *Scheduler) Check() error { return s.check() }

// Taken returns how many slots of each worker are taken, and its limit whatever its tasks are like.
func (s *Scheduler) Taken() map[string][2]int {
	taken := map[string][2]int{}
	for id, w := range s.workers {
		taken[id] = [2]int{w.assigned(), w.info.Capacity + w.window}
	}
	return taken
}

// check compares what is kept in two places.
func (s *Scheduler) check() error {
	if err := s.checkFlights(); err != nil {
		return err
	}
	if err := s.checkQueues(); err != nil {
		return err
	}
	if err := s.checkLineups(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(s.waits)) {
		if t := s.m.Task(id); t == nil || t.State != Retrying && t.State != Queued {
			return fmt.Errorf("task %d is waited for: %+v", id, t)
		}
	}
	want := len(s.waits)
	for _, f := range s.flights {
		if f.phase == aloft {
			want++
		}
	}
	if want != len(s.timers) {
		return fmt.Errorf("%d timers for %d tasks that wait and attempts that run", len(s.timers), want)
	}
	return nil
}

func (s *Scheduler) checkFlights() error {
	onWorkers, orphans := 0, 0
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		w := s.workers[id]
		slow := len(w.ghosts)
		for task, f := range w.flights {
			if s.flights[task] != f || f.worker != w || f.phase != aloft {
				return fmt.Errorf("worker %s has task %d in phase %d, which is not its own", id, task, f.phase)
			}
			if !f.short {
				slow++
			}
			onWorkers++
		}
		if slow != w.slow {
			return fmt.Errorf("worker %s: %d of its tasks are not short, it counts %d", id, slow, w.slow)
		}
		if w.link == 0 && (len(w.flights) > 0 || len(w.ghosts) > 0 || len(w.outbox) > 0) {
			return fmt.Errorf("worker %s is not connected and has %d attempts, %d ghosts", id, len(w.flights), len(w.ghosts))
		}
		if w.link != 0 && s.byLink[w.link] != w {
			return fmt.Errorf("worker %s is not found by its stream", id)
		}
	}
	for id, list := range s.orphans {
		for _, f := range list {
			if s.flights[f.task] != f || f.worker != nil || f.workerID != id || f.phase != aloft {
				return fmt.Errorf("task %d waits for worker %s and should not", f.task, id)
			}
			orphans++
		}
	}
	aloftNow := 0
	for id, f := range s.flights {
		if f.phase == aloft {
			aloftNow++
		}
		if t := s.m.Task(id); t == nil || t.State.Terminal() || t.State == Retrying {
			return fmt.Errorf("task %d has an attempt, and is %+v", id, t)
		}
	}
	if aloftNow != onWorkers+orphans {
		return fmt.Errorf("%d attempts run, workers have %d, %d wait for theirs", aloftNow, onWorkers, orphans)
	}
	var err error
	s.m.tasks.each(func(t *Task) {
		if f := s.flights[t.ID]; t.State.Running() && (f == nil || f.token != t.Attempt) {
			err = fmt.Errorf("task %d is %v, and nobody watches its attempt", t.ID, t.State)
		}
	})
	return err
}

func (s *Scheduler) checkQueues() error {
	queued := 0
	for _, q := range s.rounds {
		held, live := 0, 0
		for prio := range q.byPrio {
			d := &q.byPrio[prio]
			held += d.n
			var before *Task
			for i := range d.n {
				t := d.at(i)
				if !s.live(t) {
					continue
				}
				if t.State != Queued || t.Type != q.typ || int(t.Priority) != prio {
					return fmt.Errorf("queue of %s holds task %d of type %s, priority %d, %v", q.typ, t.ID, t.Type, t.Priority, t.State)
				}
				if before != nil && before.Order > t.Order {
					return fmt.Errorf("queue of %s: task %d stands before task %d, which was queued earlier", q.typ, before.ID, t.ID)
				}
				before = t
				live++
			}
		}
		if held != q.held || held-live != q.dead {
			return fmt.Errorf("queue of %s holds %d, of which %d dead; it counts %d and %d", q.typ, held, held-live, q.held, q.dead)
		}
		queued += live
		flying := 0
		for _, f := range s.flights {
			if f.spec.Type == q.typ {
				flying++
			}
		}
		if flying != q.flying {
			return fmt.Errorf("%d tasks of %s are with workers; its queue counts %d", flying, q.typ, q.flying)
		}
	}
	s.m.tasks.each(func(t *Task) {
		if t.State == Queued && s.flights[t.ID] == nil {
			queued--
		}
	})
	if queued != 0 {
		return fmt.Errorf("queues hold %d tasks more than are QUEUED", queued)
	}
	return nil
}

// checkLineups compares the lineups with the workers; those that were touched since the last flush may differ.
func (s *Scheduler) checkLineups() error {
	lined := 0
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		w := s.workers[id]
		for _, p := range w.places {
			l := &p.queue.ready
			if p.index >= 0 {
				lined++
				if l.places[p.index] != p || p.index > 0 && l.Less(p.index, (p.index-1)/2) {
					return fmt.Errorf("worker %s stands in a wrong place for %s", id, p.queue.typ)
				}
			}
			if w.stale {
				continue
			}
			if ready := w.ready(p, s.now); ready && p.index < 0 || !ready && p.index >= 0 && w.limit(p) == w.limitAlone(p) {
				return fmt.Errorf("worker %s is ready for %s: %v; its place in the lineup is %d", id, p.queue.typ, ready, p.index)
			}
			if p.index >= 0 && w.standing != (standing{w.assigned(), w.info.Capacity, w.turn}) {
				return fmt.Errorf("worker %s stands in the lineup as %+v", id, w.standing)
			}
		}
	}
	for _, q := range s.rounds {
		lined -= q.ready.Len()
	}
	if lined != 0 {
		return fmt.Errorf("lineups have %d places more than workers", -lined)
	}
	return nil
}
