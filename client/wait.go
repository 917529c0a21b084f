package client

import (
	"context"
	"errors"
	"iter"
	"slices"

	pb "taskgrid/proto/taskgrid/v1"
)

// maxWait is how many ids one WaitTasks call may have; more are waited for one chunk after the other.
const maxWait = 10_000

// Wait yields each of the tasks once, in the order in which they end (those that have ended already come first). The same
// id twice counts once. It goes on through restarts of the dispatcher until all have ended. An error ends it: a
// *RefusedError with NotFound names ids that no task has, or has no longer.
func (c *Client) Wait(ctx context.Context, ids ...uint64) iter.Seq2[*pb.Task, error] {
	return func(yield func(*pb.Task, error) bool) {
		for chunk := range slices.Chunk(unique(ids), maxWait) {
			err := c.waitFor(ctx, chunk, func(task *pb.Task) bool { return yield(task, nil) })
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// waitFor tells of each of the tasks as it ends, until tell returns false (then it returns errStopped).
func (c *Client) waitFor(ctx context.Context, ids []uint64, tell func(*pb.Task) bool) error {
	waiting := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		waiting[id] = true
	}
	stopped := false
	err := c.persist(ctx, true, func(ctx context.Context, talk *conversation) (Failure, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		left := slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return !waiting[id] })
		stream, err := c.dispatcher.WaitTasks(ctx, &pb.WaitTasksRequest{Ids: left, View: pb.TaskView_TASK_VIEW_FULL})
		if err != nil {
			return judged(err)
		}
		talk.connected()
		for len(waiting) > 0 {
			resp, err := stream.Recv()
			if err != nil {
				return judged(err)
			}
			talk.answered()
			for _, task := range resp.Tasks {
				if !waiting[task.Id] {
					continue
				}
				delete(waiting, task.Id)
				if !tell(task) {
					stopped = true
					return judged(nil)
				}
			}
		}
		return judged(nil)
	})
	if stopped {
		return errStopped
	}
	return err
}
