package dispatcher

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher/core"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// CancelTasks implements pb.DispatcherServer.
func (s *Server) CancelTasks(ctx context.Context, req *pb.CancelTasksRequest) (*pb.CancelTasksResponse, error) {
	if err := checkCount("ids", len(req.GetIds()), maxBatch); err != nil {
		return nil, err
	}
	if len(req.GetReason()) > maxText {
		return nil, status.Errorf(codes.InvalidArgument, "reason: %d bytes: must be at most %d bytes", len(req.GetReason()), maxText)
	}
	why := req.GetReason()
	if why == "" {
		why = "cancelled by " + cmpOr(rpc.Sender(ctx), "a caller")
	}
	records := make([][]byte, 0, len(req.GetIds()))
	at := core.At(time.Now())
	for _, id := range req.GetIds() {
		records = append(records, core.Encode(&core.Cancel{At: at, Task: id, Reason: why}))
	}
	results, err := s.propose(ctx, records)
	if err != nil {
		return nil, err
	}
	resp := &pb.CancelTasksResponse{}
	for i, id := range req.GetIds() {
		c, _ := results[i].(core.Cancelling)
		r := &pb.CancelResult{Id: id}
		switch {
		case !c.Found:
			r.Error = errUnknownTask(id)
		case c.State.Terminal():
			r.Error = taskError(codes.FailedPrecondition, "id: %d: is %v already and cannot be cancelled", id, c.State)
		}
		resp.Results = append(resp.Results, r)
	}
	return resp, nil
}

// propose makes records durable and returns what applying them gave.
func (s *Server) propose(ctx context.Context, records [][]byte) ([]any, error) {
	type outcome struct {
		results []any
		err     error
	}
	done := make(chan outcome, 1)
	if err := s.d.journal.Propose(records, func(results []any, err error) { done <- outcome{results, err} }); err != nil {
		return nil, s.toStatus(ctx, err)
	}
	select {
	case o := <-done:
		if o.err == nil && o.results == nil {
			o.results = make([]any, len(records))
		}
		return o.results, s.toStatus(ctx, o.err)
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// RetryTasks implements pb.DispatcherServer.
func (s *Server) RetryTasks(ctx context.Context, req *pb.RetryTasksRequest) (*pb.RetryTasksResponse, error) {
	if err := checkCount("ids", len(req.GetIds()), maxBatch); err != nil {
		return nil, err
	}
	if err := s.verifyLeader(ctx); err != nil { // or a task that it does not know, or knows to run, would be refused
		return nil, err
	}
	resp := &pb.RetryTasksResponse{}
	var subs []*submission
	var of []*pb.RetryResult
	for _, id := range req.GetIds() {
		found, _, _, err := s.d.find([]uint64{id})
		if err != nil {
			return nil, s.toStatus(ctx, err)
		}
		r := &pb.RetryResult{Id: id}
		resp.Results = append(resp.Results, r)
		switch {
		case len(found) == 0:
			r.Error = errUnknownTask(id)
		case found[0].State != core.Failed && found[0].State != core.Cancelled:
			r.Error = taskError(codes.FailedPrecondition, "id: %d: is %v; only FAILED and CANCELLED tasks can be retried", id, found[0].State)
		default:
			subs, of = append(subs, &submission{spec: retrySpec(found[0], rpc.RequestID(ctx))}), append(of, r)
		}
	}
	if err := s.submitAll(ctx, subs); err != nil {
		return nil, err
	}
	for i, sub := range subs {
		of[i].NewId, of[i].Error = sub.result.GetId(), sub.result.GetError()
	}
	return resp, nil
}

// cmpOr returns s, shortened, or otherwise when it is empty.
func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return fmt.Sprintf("%.64s", s)
}
