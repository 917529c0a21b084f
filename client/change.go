package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Changed is what became of one task that was to be changed.
type Changed struct {
	ID    uint64 // the task that was named
	NewID uint64 // of Retry: the new task
	Err   error  // nil: done. *RefusedError otherwise
}

// Cancel cancels tasks that have not ended and returns for each what became of it, in their order. Reason, at most 256
// bytes, goes into their history. The error is one of the call as a whole.
func (c *Client) Cancel(ctx context.Context, reason string, ids ...uint64) ([]Changed, error) {
	ctx = withRequestID(ctx)
	resp, err := ask(ctx, c, true, c.dispatcher.CancelTasks, &pb.CancelTasksRequest{Ids: ids, Reason: reason})
	var changed []Changed
	for _, r := range resp.GetResults() {
		changed = append(changed, Changed{ID: r.Id, Err: refusedTask(ctx, r.Error)})
	}
	return changed, err
}

// Retry submits tasks that FAILED or were CANCELLED anew, and returns for each the new task, in their order. The error is
// one of the call as a whole. A call that broke is not sent again, because it might make the new tasks twice: the error
// says so, and a list by the old ids tells what was done.
func (c *Client) Retry(ctx context.Context, ids ...uint64) ([]Changed, error) {
	ctx = withRequestID(ctx)
	resp, err := ask(ctx, c, false, c.dispatcher.RetryTasks, &pb.RetryTasksRequest{Ids: ids})
	var changed []Changed
	for _, r := range resp.GetResults() {
		changed = append(changed, Changed{ID: r.Id, NewID: r.NewId, Err: refusedTask(ctx, r.Error)})
	}
	return changed, err
}

// Drain marks a worker, at every name service, as one that gets nothing new, or takes the mark away. It succeeds if one
// name service took it. *RefusedError with NotFound: none knows such a worker.
func (c *Client) Drain(ctx context.Context, worker string, draining bool) error {
	ctx = withRequestID(ctx)
	names, err := discovery.Open(c.nameServices(), c.cfg.Sender, c.cfg.DialOptions...)
	if err != nil {
		return err
	}
	defer names.Close()
	var mu sync.Mutex
	done, refused := false, error(nil)
	answers := names.Each(ctx, func(ctx context.Context, ns pb.NameServiceClient) error {
		_, err := ns.SetDraining(ctx, &pb.SetDrainingRequest{WorkerId: worker, Draining: draining})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			done = true
		case judge(err) == Answered:
			refused = err
		}
		return err
	})
	switch {
	case done:
		return nil
	case refused != nil:
		s := status.Convert(refused)
		return &RefusedError{Code: s.Code(), Message: s.Message(), RequestID: rpc.RequestID(ctx)}
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(discovery.Silent(answers), ctx.Err()))
}

// nameServices returns the list to ask where none was given.
func (c *Client) nameServices() string {
	if c.cfg.NameServices == "" {
		return discovery.DefaultNameServices
	}
	return c.cfg.NameServices
}
