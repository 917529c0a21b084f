package client

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Failure says what is known of a call that did not succeed.
type Failure int

const (
	// Answered: the grid said no. It would say so again.
	Answered Failure = iota
	// NotDone: the call did not reach a dispatcher that could carry it out.
	NotDone
	// InDoubt: the connection broke, or no answer came in time. The call may have been carried out.
	InDoubt
)

const (
	firstPause  = 25 * time.Millisecond
	maxPause    = 500 * time.Millisecond // a new leader takes about a second: a longer pause would be felt
	pauseGrowth = 1.6
	pauseSpread = 0.5 // a pause lies between 50 and 150 % of its mean: clients of one failure do not come back as one

)

// HearsayFactor is by how much longer to be patient with a grid of which at least a name service answers.
const HearsayFactor = 5

// Retry decides for one call whether and when to try again. Rules only: time and randomness are arguments, so that a
// simulation can drive it. It is not safe for concurrent use.
type Retry struct {
	// Repeatable: carrying the call out twice does what carrying it out once does. A call that is not is never sent
	// again while it is in doubt.
	Repeatable bool

	// Patience is how long to try before the grid has answered for the first time, from Started on. 0: for ever.
	Patience time.Duration
	Started  time.Time

	pauses *backoff.ExponentialBackOff // nil: none needed yet
}

// Next says whether to try again after a failure at the time now, and after which pause. Reached: a dispatcher has
// answered this client before. Heard: a name service answers. Dice is a random number, 0 ≤ dice < 1.
func (r *Retry) Next(now time.Time, failure Failure, reached, heard bool, dice float64) (pause time.Duration, again bool) {
	if failure == Answered || failure == InDoubt && !r.Repeatable {
		return 0, false
	}
	if r.pauses == nil {
		r.pauses = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(firstPause), backoff.WithMaxInterval(maxPause), backoff.WithMultiplier(pauseGrowth),
			backoff.WithMaxElapsedTime(0), backoff.WithRandomizationFactor(0)) // the dice are ours
	}
	pause = time.Duration(float64(r.pauses.NextBackOff()) * (1 - pauseSpread + 2*pauseSpread*dice))
	patience := r.Patience
	if heard {
		patience *= HearsayFactor
	}
	if patience > 0 && !reached && now.Add(pause).Sub(r.Started) > patience {
		return 0, false
	}
	return pause, true
}

// Progress says that the grid answers: the next failure is a new one, and its pauses begin small.
func (r *Retry) Progress() {
	r.pauses = nil
}
