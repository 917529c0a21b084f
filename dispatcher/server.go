package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Bounds on what one call may name.
const (
	maxBatch = 10_000 // tasks submitted, cancelled, retried, waited for
	maxGet   = 1_000  // tasks read at once
)

// Server is the gRPC face of a Dispatcher.
type Server struct {
	pb.UnimplementedDispatcherServer
	d *Dispatcher
}

// NewServer returns the face of d.
func NewServer(d *Dispatcher) *Server { return &Server{d: d} }

// SubmitTasks implements pb.DispatcherServer.
func (s *Server) SubmitTasks(ctx context.Context, req *pb.SubmitTasksRequest) (*pb.SubmitTasksResponse, error) {
	if err := checkCount("tasks", len(req.GetTasks()), maxBatch); err != nil {
		return nil, err
	}
	subs := make([]*submission, 0, len(req.GetTasks()))
	for _, spec := range req.GetTasks() {
		subs = append(subs, &submission{spec: specOf(spec, rpc.RequestID(ctx))})
	}
	if err := s.submitAll(ctx, subs); err != nil {
		return nil, err
	}
	resp := &pb.SubmitTasksResponse{Results: make([]*pb.SubmitResult, 0, len(subs))}
	for _, sub := range subs {
		resp.Results = append(resp.Results, sub.result)
	}
	return resp, nil
}

// submitAll submits and waits until all is decided.
func (s *Server) submitAll(ctx context.Context, subs []*submission) error {
	done := make(chan error, 1)
	s.d.submit(subs, func(err error) { done <- err })
	select {
	case err := <-done:
		return s.toStatus(ctx, err)
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// GetTask implements pb.DispatcherServer.
func (s *Server) GetTask(ctx context.Context, req *pb.GetTaskRequest) (*pb.GetTaskResponse, error) {
	resp, err := s.GetTasks(ctx, &pb.GetTasksRequest{Ids: []uint64{req.GetId()}})
	if err != nil {
		return nil, err
	}
	if len(resp.Tasks) == 0 {
		return nil, status.Error(codes.NotFound, errUnknownTask(req.GetId()).Message)
	}
	return &pb.GetTaskResponse{Task: resp.Tasks[0]}, nil
}

// GetTasks implements pb.DispatcherServer.
func (s *Server) GetTasks(ctx context.Context, req *pb.GetTasksRequest) (*pb.GetTasksResponse, error) {
	if err := checkCount("ids", len(req.GetIds()), maxGet); err != nil {
		return nil, err
	}
	if err := checkView(req.GetView()); err != nil {
		return nil, err
	}
	found, missing, shares, err := s.d.find(req.GetIds())
	if err != nil {
		return nil, s.toStatus(ctx, err)
	}
	resp := &pb.GetTasksResponse{Missing: missing}
	for i, t := range found {
		resp.Tasks = append(resp.Tasks, taskOf(t, req.GetView(), shares[i]))
	}
	return resp, nil
}

// find returns the current versions of tasks, and how much of each one's running attempt is done.
func (d *Dispatcher) find(ids []uint64) (found []*core.Task, missing []uint64, shares []float32, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.scheduler == nil {
		return nil, nil, nil, journal.ErrNotLeader
	}
	for _, id := range ids {
		if t := d.machine.Task(id); t != nil {
			found, shares = append(found, t), append(shares, d.scheduler.Share(id))
		} else {
			missing = append(missing, id)
		}
	}
	return found, missing, shares, nil
}

// WaitTasks implements pb.DispatcherServer.
func (s *Server) WaitTasks(req *pb.WaitTasksRequest, stream pb.Dispatcher_WaitTasksServer) error {
	if err := checkCount("ids", len(req.GetIds()), maxBatch); err != nil {
		return err
	}
	if err := checkView(req.GetView()); err != nil {
		return err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(req.GetIds())))
	w := newWaiter()
	unknown, leading := s.d.await(w, ids)
	if !leading {
		return s.toStatus(stream.Context(), journal.ErrNotLeader)
	}
	if len(unknown) > 0 {
		return status.Errorf(codes.NotFound, "ids: %v: no such task, or it is forgotten", unknown[:min(len(unknown), 20)])
	}
	defer s.d.leave(w)
	for {
		ready, waiting, over := s.d.take(w)
		if err := sendTasks(ready, req.GetView(), func(tasks []*pb.Task) error {
			return stream.Send(&pb.WaitTasksResponse{Tasks: tasks})
		}); err != nil {
			return err
		}
		if over {
			return s.toStatus(stream.Context(), journal.ErrNotLeader)
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-w.wake:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// sendTasks sends tasks in messages of about frameBytes.
func sendTasks(tasks []*core.Task, view pb.TaskView, send func([]*pb.Task) error) error {
	var frame []*pb.Task
	size := 0
	for i, t := range tasks {
		frame = append(frame, taskOf(t, view, 0))
		size += len(t.Result) + len(t.Payload) + len(t.Error) + 256
		if size < frameBytes && i < len(tasks)-1 {
			continue
		}
		if err := send(frame); err != nil {
			return err
		}
		frame, size = nil, 0
	}
	return nil
}

// ListTasks implements pb.DispatcherServer.
func (s *Server) ListTasks(ctx context.Context, req *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	f, err := filterOf(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := checkView(req.GetView()); err != nil {
		return nil, err
	}
	if _, leading := s.d.Leading(); !leading && !req.GetStale() {
		return nil, s.toStatus(ctx, journal.ErrNotLeader)
	}
	found, next := s.d.list(f)
	resp := &pb.ListTasksResponse{}
	size := 0
	for _, t := range found {
		if size += len(t.Payload) + len(t.Result) + len(t.Error); size > rpc.MaxMessage/2 && len(resp.Tasks) > 0 {
			next = t.ID
			break
		}
		resp.Tasks = append(resp.Tasks, taskOf(t, req.GetView(), 0))
	}
	resp.NextPageToken = formatToken(next, f.ascending)
	return resp, nil
}

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

// WatchEvents implements pb.DispatcherServer.
func (s *Server) WatchEvents(req *pb.WatchEventsRequest, stream pb.Dispatcher_WatchEventsServer) error {
	if _, leading := s.d.Leading(); !leading && !req.GetStale() {
		return s.toStatus(stream.Context(), journal.ErrNotLeader)
	}
	since := req.GetSince()
	if req.GetFromNow() {
		since = s.d.lastEvent()
	}
	var buf []core.Event
	for {
		news := s.d.news.wait()
		events, first, ok := s.d.eventsSince(since, buf[:0])
		if !ok {
			return status.Errorf(codes.OutOfRange, "since: %d: events up to %d are forgotten; the oldest there is has number %d", since, first-1, first)
		}
		buf = events
		resp := &pb.WatchEventsResponse{}
		for i := range events {
			e := &events[i]
			since = e.Seq
			if (req.GetType() == "" || e.Type == req.GetType()) && (req.GetTaskId() == 0 || e.TaskID == req.GetTaskId()) {
				resp.Events = append(resp.Events, eventOf(e))
			}
		}
		if len(resp.Events) > 0 {
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		if len(events) > 0 {
			continue
		}
		if req.GetNoFollow() {
			return nil
		}
		select {
		case <-news:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// eventBatch is how many events are taken under one lock and sent in one message.
const eventBatch = 512

func (d *Dispatcher) eventsSince(seq uint64, buf []core.Event) (events []core.Event, first uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	events, ok = d.machine.Events(seq, eventBatch, buf)
	return events, d.machine.FirstEvent(), ok
}

func (d *Dispatcher) lastEvent() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.LastEvent()
}

// toStatus turns an error of the dispatcher into the one that the caller sees. What is not known is our bug: it goes
// to the log, and the caller learns no detail.
func (s *Server) toStatus(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, journal.ErrNotLeader):
		return s.d.notLeading("this dispatcher does not lead; try again")
	case errors.Is(err, journal.ErrUnknown):
		return s.d.notLeading("this dispatcher lost its leadership meanwhile; the call may have been done or not; try again with the same idempotency keys")
	case errors.Is(err, journal.ErrFull):
		return status.Error(codes.ResourceExhausted, "the journal cannot keep up; nothing was accepted; try again later")
	}
	s.d.log.Error("call failed", "error", err, "request_id", rpc.RequestID(ctx))
	return status.Error(codes.Internal, "internal error; the dispatcher's log says more under request id "+rpc.RequestID(ctx))
}

// notLeading returns UNAVAILABLE with where the leader is, as far as this replica knows.
func (d *Dispatcher) notLeading(message string) error {
	st, err := status.New(codes.Unavailable, message).WithDetails(&pb.LeaderHint{})
	if err != nil {
		return status.Error(codes.Unavailable, message)
	}
	return st.Err()
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

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return fmt.Sprintf("%.64s", s)
}
