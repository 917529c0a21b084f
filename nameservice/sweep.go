package nameservice

import (
	"context"
	"time"

	"taskgrid/internal/pulse"
)

const (
	// sweepEvery is how soon watchers hear of a silence that nobody asked about. Who asks is told the truth anyway.
	sweepEvery = 100 * time.Millisecond

	// longestSweep is how late a sweep of a process that runs may be, on a busy machine. When more time than that goes by
	// without a sweep or a call, the process stood still.
	longestSweep = 5 * sweepEvery

	// gatherFor is how long changes are gathered, after one was told, before the next ones are. When a thousand
	// workers start at once it turns a thousand messages to each watcher into a few.
	gatherFor = 10 * time.Millisecond
)

// Run sweeps the registry and tells the watchers, until ctx ends. Then all watches end too. Run it once.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopped)
	s.beat(true)
	defer s.beat(false)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
		case <-s.dirty:
		}
		if still := s.takeStill(); still >= pulse.Notable {
			s.log.Warn("this process stood still; nobody's silence counts meanwhile", "for", still.String())
		}
		if s.publish() {
			select {
			case <-ctx.Done():
			case <-time.After(gatherFor):
			}
		}
	}
}

// now returns the time. If this process stood still until now, the registry learns it before it is asked anything else,
// whoever asks. The caller holds mu.
func (s *Server) now() time.Time {
	now := time.Now()
	if !s.running {
		return now // nothing is sure to happen every so often
	}
	if still := s.pulse.Beat(now, longestSweep); still > 0 {
		s.still += still
		s.registry.Missed(now, still)
	}
	return now
}

// beat says whether sweeps are sure to happen from now on.
func (s *Server) beat(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.pulse = running, pulse.Pulse{}
}

// takeStill returns for how long the process stood still that was not asked before.
func (s *Server) takeStill() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	still := s.still
	s.still = 0
	return still
}
