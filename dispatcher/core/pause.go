package core

import (
	"maps"
	"slices"
	"time"
)

// awakening is how long after a pause of this process what happens still counts as the pause's doing: streams that the
// workers gave up meanwhile break, and what they sent before is read. All of that lies ready in the sockets.
const awakening = time.Second

// Woke says that this process stood still until now: stopped, or paused with its container. To the workers it looked like
// one that died, and so it goes on like one that comes back. An attempt whose stream breaks now is not lost but waits
// for its worker's Hello, and a deadline that passed meanwhile ends nothing before the outcome had its chance to be read.
func (s *Scheduler) Woke() { s.awake = s.now.Add(awakening) }

// awakening tells whether the process has just woken.
func (s *Scheduler) awakening() bool { return s.now.Before(s.awake) }

// setAside lets what a worker has wait for the worker to come back, as NewScheduler does with what an earlier leader
// handed over.
func (s *Scheduler) setAside(w *worker) {
	for _, id := range slices.Sorted(maps.Keys(w.flights)) {
		f := w.flights[id]
		f.worker = nil
		if f != w.probe { // which goes on, and tells the breaker when it ends
			f.done = nil
		}
		s.timers.stop(&f.timer)
		s.await(f)
	}
	clear(w.flights)
	s.touch(w)
}

// await gives an attempt's worker the grace to come back with it.
func (s *Scheduler) await(f *flight) {
	f.due = s.now.Add(s.cfg.AdoptGrace)
	s.timers.add(&f.timer)
	s.orphans[f.workerID] = append(s.orphans[f.workerID], f)
}
