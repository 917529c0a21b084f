package workers

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// newPause returns the pauses between tries to reach a name service: from 100 ms to 1 s, half of it by chance, without
// end. The upper bound is one heartbeat, so that a name service that comes back is filled again within two.
func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxInterval(700*time.Millisecond),
		backoff.WithMaxElapsedTime(0),
	)
}

// jittered takes up to a tenth off an interval, so that workers that started together do not go on calling together.
func jittered(interval time.Duration) time.Duration {
	return interval - rand.N(interval/10+1)
}

// sleep waits, and says whether it waited in full rather than until ctx ended.
func sleep(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
