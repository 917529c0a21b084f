package dispatcher

import (
	"fmt"
	"time"
)

// What a worker may say that leads nowhere. Each answer costs a step under the one lock, so a worker that talks nonsense
// without end would slow down everybody: it is hung up on, which its breaker counts, and what it had goes elsewhere.
const (
	// oddPerSecond answers that did not count, and oddAtOnce on top of one for each attempt that the worker may have: one
	// that was paused and comes to itself answers for all of them too late.
	oddPerSecond = 100
	oddAtOnce    = 1000

	// progressPerSecond is per attempt that the worker may have; the contract asks for at most ten. progressAtOnce are
	// forgiven.
	progressPerSecond = 100
	progressAtOnce    = 1000
)

// conduct judges what a worker says on one stream.
type conduct struct {
	odd, progress allowance
}

// newConduct returns the judge of a worker that may have so many attempts at a time.
func newConduct(attempts int, now time.Time) conduct {
	n := float64(max(1, attempts))
	return conduct{
		odd:      allowance{rate: oddPerSecond, most: oddAtOnce + n, left: oddAtOnce + n, at: now},
		progress: allowance{rate: progressPerSecond * n, most: progressAtOnce + progressPerSecond*n, left: progressAtOnce + progressPerSecond*n, at: now},
	}
}

// judge takes note of one message, and returns why the worker is to be hung up on, if it is.
func (c *conduct) judge(now time.Time, odd, progress int) error {
	if !c.odd.take(now, odd) {
		return nonsense{fmt.Sprintf("it answers nonsense: more than %.0f answers that do not count, and %.0f a second", c.odd.most, c.odd.rate)}
	}
	if !c.progress.take(now, progress) {
		return nonsense{fmt.Sprintf("it reports progress without end: more than %.0f reports, and %.0f a second", c.progress.most, c.progress.rate)}
	}
	return nil
}

// nonsense is why a worker was hung up on for what it said.
type nonsense struct{ why string }

func (n nonsense) Error() string { return n.why }

// allowance is used up by what is taken, and comes back with time.
type allowance struct {
	rate float64 // a second
	most float64
	left float64
	at   time.Time // when left was true
}

// take uses up n, and tells whether there was as much.
func (a *allowance) take(now time.Time, n int) bool {
	if n == 0 {
		return true
	}
	a.left = min(a.most, a.left+a.rate*max(0, now.Sub(a.at).Seconds())) - float64(n)
	a.at = now
	return a.left >= 0
}
