package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// ErrUnreachable is in the chain of an error that says that no dispatcher answered; the text says where it was looked for.
var ErrUnreachable = errors.New("grid not reachable")

// errInDoubt: a call that must not be repeated was cut off, and nobody knows whether it was carried out.
var errInDoubt = errors.New("the connection broke; it is not known whether this was done")

// errStopped: the caller's loop has enough. No caller sees it.
var errStopped = errors.New("stopped by the caller")

// RefusedError is an answer of the grid that is no: the request was wrong, or cannot be met.
type RefusedError struct {
	Code      codes.Code // as in the contract: InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, …
	Message   string     // in words: field, value and rule
	RequestID string     // of the call
}

func (e *RefusedError) Error() string { return e.Message }

// refusedTask returns the error of one task of a call, or nil.
func refusedTask(ctx context.Context, e *pb.TaskError) error {
	if e == nil {
		return nil
	}
	return &RefusedError{Code: codes.Code(e.Code), Message: e.Message, RequestID: rpc.RequestID(ctx)}
}

// judge says what is known of a call that ended with err while its own context lives.
func judge(err error) Failure {
	if errors.Is(err, io.EOF) { // a stream that ended before it had said everything
		return InDoubt
	}
	if discovery.Hint(err) != nil {
		return NotDone
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled: // not our own deadline: that of one try, or the server's end
		return InDoubt
	}
	return Answered
}

// giveUp makes the error for a caller whose call failed with err and is not tried again.
func (c *Client) giveUp(ctx context.Context, failure Failure, repeatable bool, err error) error {
	if failure == Answered {
		s := status.Convert(err)
		return &RefusedError{Code: s.Code(), Message: s.Message(), RequestID: rpc.RequestID(ctx)}
	}
	if failure == InDoubt && !repeatable {
		return fmt.Errorf("%w: %s", errInDoubt, discovery.Reason(err))
	}
	return c.unreachable(err)
}

// unreachable makes the error for a caller whom nobody answered.
func (c *Client) unreachable(err error) error {
	tried, reason := c.finder.Tried(), discovery.Reason(err)
	if tried == "" || tried == reason {
		return fmt.Errorf("%w: %s", ErrUnreachable, reason)
	}
	return fmt.Errorf("%w: %s: %s", ErrUnreachable, tried, reason)
}

// ended makes the error for a caller whose context ended. Last is what the latest try failed with; nil: it was answered.
func (c *Client) ended(ctx context.Context, last error) error {
	if last == nil && c.reached.Load() {
		return ctx.Err()
	}
	if last == nil {
		last = errors.New("no answer")
	}
	return silentError{c.unreachable(last), ctx.Err()}
}

// silentError is an ErrUnreachable of a call whose context ended: the text says the one, the chain has both.
type silentError struct{ unreachable, ended error }

func (e silentError) Error() string   { return e.unreachable.Error() }
func (e silentError) Unwrap() []error { return []error{e.unreachable, e.ended} }
