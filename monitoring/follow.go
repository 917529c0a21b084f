package monitoring

import (
	"context"
	"errors"
	"io"
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
	toNewest   bool   // end when there is nothing newer
	last       uint64 // the sequence number of the last event that was taken
}

// news is what a follower tells: events, or why there are none at the moment.
type news struct {
	events  []*pb.Event
	trouble string
}

// run gives the events that come after last to take, each once and in order, until ctx ends, take fails or, if it is to
// go to the newest only, it has got there: then it returns nil. Any other error is a status: what asking again does not
// mend, such as OUT_OF_RANGE for events that are forgotten.
//
// While take waits nothing is read from the dispatcher, and so, by the stream's flow control, nothing sent.
func (f *follower) run(ctx context.Context, take func(news) error) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPause), backoff.WithMaxInterval(longestPause), backoff.WithMaxElapsedTime(0))
	for {
		before := f.last
		broken, err := f.follow(ctx, take)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || broken == nil {
			return err
		}
		if final(status.Code(broken)) {
			return broken
		}
		if f.last != before {
			pause.Reset()
		}
		if err := take(news{trouble: discovery.Reason(broken)}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// follow gives the events of one stream to take. It returns why the stream broke, nil if it came to the newest event
// and is not to go further, or the error of take.
func (f *follower) follow(ctx context.Context, take func(news) error) (broken, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, whatever made us leave
	stream, err := f.dispatcher.WatchEvents(ctx, &pb.WatchEventsRequest{Since: f.last, NoFollow: f.toNewest})
	if err != nil {
		return err, nil
	}
	for {
		resp, err := stream.Recv()
		if f.toNewest && errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
		events := f.unseen(resp.GetEvents())
		if len(events) == 0 {
			continue
		}
		if err := take(news{events: events}); err != nil {
			return nil, err
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

// final tells whether asking again with the same request gives the same answer.
func final(code codes.Code) bool {
	switch code {
	case codes.OutOfRange, codes.InvalidArgument, codes.NotFound, codes.Unauthenticated, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}
