package workers

import (
	"context"
	"errors"
	"math"
)

// Handler does one task: it turns the payload into the result.
//
// The context ends when the attempt's time is up, when the task is cancelled, and when the worker has to go; a handler
// that takes longer than some milliseconds watches it and returns its error. Several calls run at the same time.
//
// A plain error is retryable: the grid tries again, on another worker if there is one. InvalidPayload and Permanent mark
// the errors that trying again does not cure. A panic counts as a retryable error.
type Handler func(ctx context.Context, payload string) (result string, err error)

// InvalidPayload marks err as the payload's fault: the task fails at once, and its submitter reads err's text, which
// therefore names the piece that is wrong.
func InvalidPayload(err error) error { return markedError{err, FailedInvalidPayload} }

// Permanent marks err as one that comes again each time, though the payload is right: the task fails at once.
func Permanent(err error) error { return markedError{err, FailedPermanent} }

// Report tells how much of the task is done, from 0 to 1, to whoever watches it. It may be called as often as one
// likes; ten reports a second go on their way. Outside of a task it does nothing.
func Report(ctx context.Context, fraction float64) {
	report, ok := ctx.Value(reportKey{}).(func(float64))
	if !ok || math.IsNaN(fraction) {
		return
	}
	report(min(max(fraction, 0), 1))
}

// reportKey finds the function behind Report in a handler's context.
type reportKey struct{}

// AttemptOf tells a handler which attempt of which task it runs. A task may run more than once, also at the same time, on
// a worker that was taken for lost: what a handler writes elsewhere can be fenced with the attempt. Of two attempts of a
// task the later one has the greater number. Outside of a task ok is false.
func AttemptOf(ctx context.Context) (key Key, ok bool) {
	key, ok = ctx.Value(attemptKey{}).(Key)
	return key, ok
}

// attemptKey finds the attempt in a handler's context.
type attemptKey struct{}

// markedError is an error of which the handler said what it means for the task.
type markedError struct {
	error
	ending Ending
}

func (e markedError) Unwrap() error { return e.error }

// endingOf returns what an error of a handler means for the task.
func endingOf(err error) Ending {
	if err == nil {
		return Completed
	}
	if marked, ok := errors.AsType[markedError](err); ok {
		return marked.ending
	}
	return FailedRetryable
}
