package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheContextOfAnAttemptEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := &attemptContext{deadline: time.Now().Add(time.Second)}
		defer ctx.stop()
		start := time.Now()
		<-ctx.Done()
		if took := time.Since(start); took != time.Second || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("after %s it says %v", took, ctx.Err())
		}
	})
}

func TestTheContextOfAnAttemptEndsWhenItIsStopped(t *testing.T) {
	for _, looked := range []bool{false, true} {
		ctx := &attemptContext{deadline: time.Now().Add(time.Hour)}
		if looked && ctx.Err() != nil {
			t.Errorf("before the stop it says %v", ctx.Err())
		}
		ctx.stop()
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("looked at before: %v; after the stop it says %v", looked, ctx.Err())
		}
	}
}

func TestContextsBelowThatOfAnAttemptEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a goroutine that stayed behind would fail the test
		ctx := &attemptContext{deadline: time.Now().Add(time.Hour), report: func(float64) {}}
		below, cancel := context.WithTimeout(ctx, 2*time.Hour)
		defer cancel()
		Report(below, 0.5)
		ctx.stop()
		synctest.Wait()
		if below.Err() == nil {
			t.Error("it goes on")
		}
	})
}

func TestAHandlerLearnsWhichAttemptItRuns(t *testing.T) {
	want := Key{Task: 7, Attempt: 3<<32 | 2}
	ctx := &attemptContext{deadline: time.Now().Add(time.Hour), key: want}
	below, cancel := context.WithCancel(ctx)
	defer cancel()
	if got, ok := AttemptOf(below); got != want || !ok {
		t.Errorf("it is told %v, %t, want %v", got, ok, want)
	}
	if got, ok := AttemptOf(context.Background()); ok {
		t.Errorf("outside of a task it is told %v", got)
	}
}
