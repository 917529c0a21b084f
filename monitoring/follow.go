package monitoring

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// firstPause and longestPause bound the time between two attempts to follow the dispatcher again; with jitter.
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// follower follows the dispatcher's events after a sequence number, across breaks of the connection, restarts of the
// dispatcher and changes of its leader.
type follower struct {
	dispatcher pb.DispatcherClient
	typ        string // only events of this type; "": any
	task       uint64 // only events of this task; 0: any
	last       uint64 // the sequence number of the last event sent on
}

// news is what a follower sends: events, or why there are none at the moment.
type news struct {
	events  []*pb.Event
	trouble string
}

// run sends the events that come after last to out, each once and in order, until ctx ends: then it returns nil. The
// error is a status: what asking again does not mend, such as OUT_OF_RANGE for events that are forgotten.
//
// Nobody reading out stops the reading from the dispatcher, and so, by the stream's flow control, its sending.
func (f *follower) run(ctx context.Context, out chan<- news) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPause), backoff.WithMaxInterval(longestPause), backoff.WithMaxElapsedTime(0))
	for {
		before := f.last
		err := f.follow(ctx, out)
		if ctx.Err() != nil {
			return nil
		}
		if final(status.Code(err)) {
			return err
		}
		if f.last != before {
			pause.Reset()
		}
		if !put(ctx, out, news{trouble: discovery.Reason(err)}) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// follow sends the events of one stream on; it returns why the stream ended.
func (f *follower) follow(ctx context.Context, out chan<- news) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, whatever made us leave
	stream, err := f.dispatcher.WatchEvents(ctx, &pb.WatchEventsRequest{Since: f.last, Type: f.typ, TaskId: f.task})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		events := f.unseen(resp.GetEvents())
		if len(events) == 0 {
			continue
		}
		if !put(ctx, out, news{events: events}) {
			return ctx.Err()
		}
		f.last = events[len(events)-1].GetSequence()
	}
}

// unseen returns the events after the last one that was sent on.
func (f *follower) unseen(events []*pb.Event) []*pb.Event {
	for i, e := range events {
		if e.GetSequence() > f.last {
			return events[i:]
		}
	}
	return nil
}

func put(ctx context.Context, out chan<- news, n news) bool {
	select {
	case out <- n:
		return true
	case <-ctx.Done():
		return false
	}
}

// final tells whether asking again with the same request gives the same answer.
func final(code codes.Code) bool {
	switch code {
	case codes.OutOfRange, codes.InvalidArgument, codes.NotFound, codes.Unauthenticated, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}
