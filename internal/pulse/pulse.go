// Package pulse lets a process notice that it stood still: stopped by SIGSTOP, or paused with its container or its
// virtual machine. Whoever judges others by their silence must know that of itself: while it stood still it could hear
// nobody, and that time proves nothing against anybody.
//
// A process notices it by something that it is sure to do every so often, such as a ticker's work. When that comes much
// later than it should, nothing of the process ran. Only the time between two of them counts, which is monotonic: setting
// the clock is no pause.
package pulse

import "time"

// Notable is how long a process must have stood still for anybody to want to read of it. What is shorter counts as well.
const Notable = 100 * time.Millisecond

// Pulse knows when the process was last seen to run. The zero value has not seen it yet. It is not safe for concurrent
// use.
type Pulse struct {
	last time.Time
}

// Beat says that the process runs at now, and returns for how long before that it stood still: what is more than
// longest, the longest time that passes between two beats of a process that runs. A machine so busy that every beat is
// late so lets the time of the process go by slower, and never stop.
func (p *Pulse) Beat(now time.Time, longest time.Duration) (stoodStill time.Duration) {
	last := p.last
	p.last = now
	if last.IsZero() {
		return 0
	}
	return max(0, now.Sub(last)-longest)
}
