package monitoring

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
)

// feed is what one reader gets: the events after a number, each once and in order. It takes them from the flow that all
// readers share. What the flow does not hold, because it is too old or because the flow has not come to it yet, it gets
// with a stream of its own, which ends at the newest event.
type feed struct {
	hub  *hub
	typ  string // only events of tasks of this type; "": any
	task uint64 // only events of this task; 0: any
	last uint64 // the number of the last event that was looked at, wanted or not
	out  chan portion
}

// portion is what a feed sends: events, or why there are none at the moment.
type portion struct {
	texts   [][]byte // of events
	trouble string
}

// run sends to out until ctx ends: then it returns nil. The error is for the reader: what asking again does not mend, or
// that he is too slow. begin is where a flow begins if there is none.
func (f *feed) run(ctx context.Context, begin uint64) error {
	err := f.share(ctx, begin)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *feed) share(ctx context.Context, begin uint64) error {
	flow := f.hub.join(begin)
	defer func() { f.hub.leave(flow) }()
	told := flow.look(f.last).faults
	for shared := false; ; {
		v := flow.look(f.last)
		var err error
		switch {
		case len(v.frames) > 0:
			shared = true
			err = f.send(ctx, v.frames)
		case v.held && v.ended:
			return v.err
		case v.held && v.faults != told:
			told = v.faults
			err = f.put(ctx, portion{trouble: v.trouble})
		case v.held:
			err = v.wait(ctx)
		case v.ended:
			f.hub.leave(flow)
			flow = f.hub.join(f.last)
		case shared:
			return newError(codes.ResourceExhausted, fmt.Sprintf("this stream is read too slowly: %d newer events came meanwhile; resume after event %d", v.last-f.last, f.last))
		default:
			if err = f.catchUp(ctx); err == nil && !flow.look(f.last).held {
				err = v.wait(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// catchUp sends the events that there are, with a stream of its own.
func (f *feed) catchUp(ctx context.Context) error {
	upstream := follower{dispatcher: f.hub.dispatcher, last: f.last, toNewest: true}
	return upstream.run(ctx, func(n news) error {
		if n.trouble != "" {
			return f.put(ctx, portion{trouble: n.trouble})
		}
		return f.send(ctx, newFrames(n.events))
	})
}

// send sends those of the frames that the reader wants. There is at least one.
func (f *feed) send(ctx context.Context, frames []*frame) error {
	texts, err := f.wanted(frames)
	if err != nil {
		return err
	}
	f.last = frames[len(frames)-1].seq
	if len(texts) == 0 {
		return nil
	}
	return f.put(ctx, portion{texts: texts})
}

// wanted returns the texts of those frames that the reader wants.
func (f *feed) wanted(frames []*frame) (texts [][]byte, err error) {
	for _, frame := range frames {
		if f.typ != "" && frame.typ != f.typ || f.task != 0 && frame.task != f.task {
			continue
		}
		text, err := frame.text()
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func (f *feed) put(ctx context.Context, p portion) error {
	select {
	case f.out <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
