package dispatcher

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher/journal"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// toStatus turns an error of the dispatcher into the one that the caller sees. What is not known is our bug: it goes
// to the log, and the caller learns no detail.
func (s *Server) toStatus(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrNotLeader):
		return s.d.notLeading("this dispatcher does not lead; try again")
	// Without a LeaderHint, which would say that nothing was done.
	case errors.Is(err, journal.ErrUnknown) && s.d.journal.Failed() != nil:
		return status.Errorf(codes.Unavailable, "this dispatcher stops, because its journal failed (%v); the call may have been done or not; try again with the same idempotency keys", s.d.journal.Failed())
	case errors.Is(err, journal.ErrUnknown):
		return status.Error(codes.Unavailable, "this dispatcher lost its leadership meanwhile; the call may have been done or not; try again with the same idempotency keys")
	case errors.Is(err, journal.ErrMember), errors.Is(err, journal.ErrBackup):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, journal.ErrFull):
		return status.Error(codes.ResourceExhausted, "the journal cannot keep up; nothing was accepted; try again later")
	}
	s.d.log.Error("call failed", "error", err, "request_id", rpc.RequestID(ctx))
	return status.Error(codes.Internal, "internal error; the dispatcher's log says more under request id "+rpc.RequestID(ctx))
}

// notLeading returns UNAVAILABLE with a LeaderHint. While nobody leads, or this replica does not know where the leader
// listens, the hint is empty, and the caller asks the name service.
func (d *Dispatcher) notLeading(message string) error {
	hint := &pb.LeaderHint{Address: d.journal.LeaderService()}
	if hint.Address == d.ownService() { // it has lost its leadership and not heard of another's
		hint.Address = ""
	}
	st, err := status.New(codes.Unavailable, message).WithDetails(hint)
	if err != nil {
		return status.Error(codes.Unavailable, message)
	}
	return st.Err()
}

// ownService returns where clients reach this dispatcher, "" when that is not known.
func (d *Dispatcher) ownService() string {
	if d.cfg.Service == nil {
		return ""
	}
	return d.cfg.Service()
}

// enterStream counts a call that stays open until leave is called. Each costs a goroutine and what is on its way to a
// caller who may not read; so they are bounded.
func (d *Dispatcher) enterStream() (leave func(), err error) {
	leave = func() { d.streams.Add(-1) }
	if open := d.streams.Add(1); open > int64(d.cfg.MaxStreams) {
		leave()
		return nil, status.Errorf(codes.ResourceExhausted, "%d calls are open that wait or watch, which is the limit; end one or try again later", d.cfg.MaxStreams)
	}
	return leave, nil
}

func checkCount(field string, n, most int) error {
	if n < 1 || n > most {
		return status.Errorf(codes.InvalidArgument, "%s: %d: must be 1 to %d", field, n, most)
	}
	return nil
}

func checkView(v pb.TaskView) error {
	if _, ok := pb.TaskView_name[int32(v)]; !ok {
		return status.Errorf(codes.InvalidArgument, "view: %d: must be BASIC or FULL", v)
	}
	return nil
}

// errForgotten says that a task ended and was forgotten before it could be told.
func errForgotten(id uint64) error {
	return status.Errorf(codes.FailedPrecondition, "task %d has ended and is forgotten already: the dispatcher keeps too few finished tasks (--keep-count, --keep-age, --keep-bytes)", id)
}
