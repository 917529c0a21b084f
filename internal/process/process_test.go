package process

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestASignalThatComesTwiceAtOnceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, signalled := context.WithCancel(t.Context())
		var stopped atomic.Bool
		letGo(ctx, func() { stopped.Store(true) })
		time.Sleep(time.Hour)
		signalled()
		time.Sleep(SameSignal - 1)
		if synctest.Wait(); stopped.Load() {
			t.Errorf("%v after the first signal a second one would end the process", SameSignal-1)
		}
		time.Sleep(1 * time.Nanosecond)
		if synctest.Wait(); !stopped.Load() {
			t.Errorf("%v after the first signal a second one would not end the process", SameSignal)
		}
	})
}
