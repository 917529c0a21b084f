package fakegrid

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// WaitTasks implements the contract; it sends each task in a message of its own.
func (d *Dispatcher) WaitTasks(req *pb.WaitTasksRequest, stream pb.Dispatcher_WaitTasksServer) error {
	if err := d.enter(stream.Context(), "WaitTasks"); err != nil {
		return err
	}
	waiting := slices.Clone(req.Ids)
	for sent := 0; len(waiting) > 0; {
		tasks, missing, changed := d.grid.look(waiting)
		if len(missing) > 0 {
			return status.Errorf(codes.NotFound, "tasks %v: no such tasks", missing)
		}
		for _, task := range tasks {
			if !terminal(task.State) {
				continue
			}
			if limit := d.limit(); limit > 0 && sent >= limit {
				return errCut
			}
			if err := stream.Send(&pb.WaitTasksResponse{Tasks: []*pb.Task{task}}); err != nil {
				return err
			}
			sent++
			waiting = slices.DeleteFunc(waiting, func(id uint64) bool { return id == task.Id })
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
	return nil
}

// RunTasks implements the contract.
func (d *Dispatcher) RunTasks(stream pb.Dispatcher_RunTasksServer) error {
	ctx := stream.Context()
	if err := d.enter(ctx, "RunTasks"); err != nil {
		return err
	}
	requests := make(chan *pb.RunTasksRequest)
	go func() { // ends with the stream
		defer close(requests)
		for {
			req, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- req:
			case <-ctx.Done():
				return
			}
		}
	}()
	var open []uint64
	for sent := 0; requests != nil || len(open) > 0; {
		resp := &pb.RunTasksResponse{}
		tasks, _, changed := d.grid.look(open)
		for _, task := range tasks {
			if terminal(task.State) {
				resp.Finished = append(resp.Finished, task)
				open = slices.DeleteFunc(open, func(id uint64) bool { return id == task.Id })
			}
		}
		if len(resp.Finished) == 0 {
			select {
			case req, ok := <-requests:
				if !ok {
					requests = nil
					continue
				}
				for _, task := range req.Tasks {
					result := d.grid.submit(task.Spec, rpc.RequestID(ctx))
					resp.Acks = append(resp.Acks, &pb.RunAck{Ref: task.Ref, Result: result})
					if result.Error == nil {
						open = append(open, result.Id)
					}
				}
				if d.losesAnswer() {
					return errCut
				}
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if limit := d.limit(); limit > 0 && sent >= limit {
			return errCut
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
		sent++
	}
	return nil
}

// WatchEvents implements the contract but for its filters; it sends each event in a message of its own.
func (d *Dispatcher) WatchEvents(req *pb.WatchEventsRequest, stream pb.Dispatcher_WatchEventsServer) error {
	if err := d.enter(stream.Context(), "WatchEvents"); err != nil {
		return err
	}
	since := req.Since
	for sent := 0; ; {
		events, changed := d.grid.eventsAfter(since)
		for _, event := range events {
			if limit := d.limit(); limit > 0 && sent >= limit {
				return errCut
			}
			if err := stream.Send(&pb.WatchEventsResponse{Events: []*pb.Event{event}}); err != nil {
				return err
			}
			sent++
			since = event.Sequence
		}
		if req.NoFollow {
			return nil
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
