package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"
)

// maxMessage bounds the text of an error that a submitter gets to read, in bytes.
const maxMessage = 4096

// run executes the handler of an attempt, and returns what came of it and when.
func (e *engine) run(ctx *attemptContext, a *Attempt) (o Outcome, end time.Time) {
	start := time.Now()
	if e.log.Enabled(context.Background(), slog.LevelDebug) {
		e.logTask(slog.LevelDebug, "attempt started", a)
	}
	result, err := call(ctx, e.handlers[a.Type], a.Payload)
	end = time.Now()
	o = e.judge(ctx, result, err)
	o.Key, o.Elapsed = a.Key, end.Sub(start)
	e.metrics.ended(a.Type, o)
	e.logEnd(end, a, o, err)
	return o, end
}

// call is the barrier: a panic in a handler becomes its error.
func call(ctx context.Context, handler Handler, payload string) (result string, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return handler(ctx, payload)
}

// panicError is a panic of a handler. The stack is for the log only.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("the handler panicked: %v", p.value) }

// judge turns what a handler returned into an outcome that can be sent: text that is valid UTF-8 and not too long.
func (e *engine) judge(ctx context.Context, result string, err error) Outcome {
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && endingOf(err) == FailedRetryable:
		return failure(FailedRetryable, "deadline exceeded: "+err.Error())
	case err != nil:
		return failure(endingOf(err), err.Error())
	case len(result) > e.maxResult:
		return failure(FailedPermanent, fmt.Sprintf("the result has %d bytes: at most %d are allowed", len(result), e.maxResult))
	case !utf8.ValidString(result):
		return failure(FailedPermanent, "the result is not valid UTF-8")
	}
	return Outcome{Ending: Completed, Result: result}
}

func failure(ending Ending, message string) Outcome {
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	return Outcome{Ending: ending, Message: strings.ToValidUTF8(message, "\uFFFD")}
}

// logEnd writes the line about an attempt that ended.
func (e *engine) logEnd(now time.Time, a *Attempt, o Outcome, err error) {
	level := slog.LevelInfo
	panicked, isPanic := errors.AsType[*panicError](err)
	if isPanic {
		level = slog.LevelError
		e.metrics.panics.WithLabelValues(a.Type).Inc()
	}
	if !e.mayLog(now, level) {
		return
	}
	attrs := []slog.Attr{slog.String("outcome", o.Ending.String()), slog.Duration("elapsed", o.Elapsed)}
	if o.Ending != Completed {
		attrs = append(attrs, slog.String("error", o.Message))
	}
	if isPanic {
		attrs = append(attrs, slog.String("stack", string(panicked.stack)))
	}
	e.logTask(level, "attempt ended", a, attrs...)
}

// mayLog says whether a line about one attempt is to be written: while the budget for such lines lasts. At debug level
// all are written.
func (e *engine) mayLog(now time.Time, level slog.Level) bool {
	ctx := context.Background()
	return e.log.Enabled(ctx, level) && (e.log.Enabled(ctx, slog.LevelDebug) || e.taskLog.Allows(now))
}

// logTask writes a line about one attempt. The logger itself bears the worker_id.
func (e *engine) logTask(level slog.Level, text string, a *Attempt, more ...slog.Attr) {
	attrs := []slog.Attr{
		slog.String("request_id", a.RequestID),
		slog.Uint64("task_id", a.Task),
		slog.Uint64("attempt", a.Attempt),
		slog.String("type", a.Type),
	}
	e.log.LogAttrs(context.Background(), level, text, append(attrs, more...)...)
}
