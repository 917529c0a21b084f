package client

import (
	"context"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// Get returns a task as it stands, with its history. *RefusedError with NotFound: there is no such task, or no longer.
func (c *Client) Get(ctx context.Context, id uint64) (*pb.Task, error) {
	resp, err := ask(ctx, c, true, c.dispatcher.GetTask, &pb.GetTaskRequest{Id: id})
	return resp.GetTask(), err
}

// maxGet is how many ids one GetTasks call may have.
const maxGet = 1000

// Missing returns those of the ids that no task has, or has no longer.
func (c *Client) Missing(ctx context.Context, ids ...uint64) ([]uint64, error) {
	ctx = withRequestID(ctx)
	var missing []uint64
	for chunk := range slices.Chunk(unique(ids), maxGet) {
		resp, err := ask(ctx, c, true, c.dispatcher.GetTasks, &pb.GetTasksRequest{Ids: chunk, View: pb.TaskView_TASK_VIEW_BASIC})
		if err != nil {
			return nil, err
		}
		missing = append(missing, resp.Missing...)
	}
	return missing, nil
}

// List yields the tasks that the filter selects, page after page; filter.PageSize is how many are fetched at a time, and
// filter.PageToken where to begin. An error ends it.
func (c *Client) List(ctx context.Context, filter *pb.ListTasksRequest) iter.Seq2[*pb.Task, error] {
	return func(yield func(*pb.Task, error) bool) {
		ctx := withRequestID(ctx)
		filter := proto.CloneOf(filter)
		for {
			resp, err := ask(ctx, c, true, c.dispatcher.ListTasks, filter)
			if err != nil {
				yield(nil, err)
				return
			}
			if filter.Stale {
				c.cfg.Behind(resp.Behind.AsDuration(), resp.AppliedIndex)
			}
			for _, task := range resp.Tasks {
				if !yield(task, nil) {
					return
				}
			}
			if resp.NextPageToken == "" {
				return
			}
			filter.PageToken = resp.NextPageToken
		}
	}
}

// Status returns what the leading dispatcher says of itself, its tasks and its workers. One that has just started and
// does not know its tasks yet is waited for.
func (c *Client) Status(ctx context.Context) (*pb.DispatcherGetStatusResponse, error) {
	return ask(ctx, c, true, c.dispatcher.GetStatus, &pb.DispatcherGetStatusRequest{LeaderOnly: true})
}
