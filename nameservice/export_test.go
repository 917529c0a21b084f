package nameservice

import "time"

// LimitDepartures sets how many departures the server remembers, so that a test reaches the bound soon.
func (s *Server) LimitDepartures(n int) {
	s.ask(func(r *Registry, _ time.Time) { r.limits.Departures = n })
}
