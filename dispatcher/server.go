package dispatcher

import (
	"context"
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

// maxWait is how long a submission may wait for the ends of its tasks.
const maxWait = time.Minute

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
	wait := req.GetWait().AsDuration()
	if wait < 0 || wait > maxWait {
		return nil, status.Errorf(codes.InvalidArgument, "wait: %v: must be 0 to %v", wait, maxWait)
	}
	if wait > 0 {
		leave, err := s.d.enterStream()
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	requestID := rpc.RequestID(ctx)
	subs := submissionsOf(len(req.GetTasks()), func(i int) core.Spec { return specOf(req.GetTasks()[i], requestID) })
	var err error
	if wait > 0 {
		err = s.submitAndWait(ctx, subs, wait)
	} else {
		err = s.submitAll(ctx, subs)
	}
	if err != nil {
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
	if err == nil && !final(found, missing) {
		if err := s.verifyLeader(ctx); err != nil {
			return nil, err
		}
		found, missing, shares, err = s.d.find(req.GetIds())
	}
	if err != nil {
		return nil, s.toStatus(ctx, err)
	}
	resp := &pb.GetTasksResponse{Missing: missing}
	size := 0
	for i, t := range found {
		task := taskOf(t, req.GetView(), shares[i])
		if size += roomFor(task); size > answerBytes && len(found) > 1 {
			return nil, status.Errorf(codes.ResourceExhausted, "ids: %d tasks do not fit one answer; ask for at most %d of these", len(found), max(i, 1))
		}
		resp.Tasks = append(resp.Tasks, task)
	}
	return resp, nil
}

// verifyLeader makes sure that what this replica shows now is no older than anything that was told before the call.
func (s *Server) verifyLeader(ctx context.Context) error {
	err := s.d.journal.VerifyLeader(ctx)
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return s.toStatus(ctx, err)
}

// final tells whether an answer is true whoever gives it, a leader that was deposed included: a terminal task does not
// change any more. Of one that is not terminal, or not known, only the leader can speak.
func final(found []*core.Task, missing []uint64) bool {
	return len(missing) == 0 && !slices.ContainsFunc(found, func(t *core.Task) bool { return !t.State.Terminal() })
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
	leave, err := s.d.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	ids := slices.Compact(slices.Sorted(slices.Values(req.GetIds())))
	w := newWaiter()
	unknown, leading := s.d.await(w, ids)
	if leading && len(unknown) > 0 {
		// What a deposed leader tells of an end is true, and of what has not ended it tells nothing. But it may not know of
		// a task yet.
		if err := s.verifyLeader(stream.Context()); err != nil {
			return err
		}
		unknown, leading = s.d.await(w, ids)
	}
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
		task := taskOf(t, view, 0)
		frame = append(frame, task)
		size += roomFor(task)
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
	resp := &pb.ListTasksResponse{}
	if req.GetStale() {
		resp.Behind, resp.AppliedIndex = s.d.behind()
	} else if err := s.verifyLeader(ctx); err != nil {
		return nil, err
	}
	found, next := s.d.list(f)
	size := 0
	for _, t := range found {
		task := taskOf(t, req.GetView(), 0)
		if size += roomFor(task); size > answerBytes && len(resp.Tasks) > 0 {
			next = t.ID
			break
		}
		resp.Tasks = append(resp.Tasks, task)
	}
	resp.NextPageToken = formatToken(next, f.ascending)
	return resp, nil
}
