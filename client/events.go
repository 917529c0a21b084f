package client

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// Events yields what happened, once and in order, from the event after request.Since on, until ctx ends, or with NoFollow
// until there is nothing newer. When the connection breaks it goes on after the last event it yielded. An error ends it:
// a *RefusedError with OutOfRange says that events that old are forgotten.
func (c *Client) Events(ctx context.Context, request *pb.WatchEventsRequest) iter.Seq2[*pb.Event, error] {
	return func(yield func(*pb.Event, error) bool) {
		ctx := withRequestID(ctx)
		request := proto.CloneOf(request)
		if request.FromNow {
			// As a number, so that nothing is missed if the connection breaks before the first event.
			status, err := c.Status(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			request.FromNow, request.Since = false, status.LastEvent
		}
		stopped := false
		err := c.persist(ctx, true, func(ctx context.Context, talk *conversation) (Failure, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := c.dispatcher.WatchEvents(ctx, request)
			if err != nil {
				return judged(err)
			}
			talk.connected()
			for {
				resp, err := stream.Recv()
				if errors.Is(err, io.EOF) && request.NoFollow {
					return judged(nil)
				}
				if err != nil {
					return judged(err)
				}
				talk.answered()
				if request.Stale {
					c.cfg.Behind(resp.Behind.AsDuration(), resp.AppliedIndex)
				}
				for _, event := range resp.Events {
					if event.Sequence <= request.Since {
						continue
					}
					request.Since = event.Sequence
					if stopped = !yield(event, nil); stopped {
						return judged(nil)
					}
				}
			}
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}
