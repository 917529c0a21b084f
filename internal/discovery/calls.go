package discovery

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// leaveAfter is how long the calls to a leader that another one has followed may still take. One that lives has ended them
// itself by then, with an answer or with the news that it leads no longer.
const leaveAfter = 100 * time.Millisecond

// errLeft is why a call was given up.
var errLeft = errors.New("given up: another dispatcher leads since, and this one has not answered; the call may have been done or not; try again with the same idempotency keys")

// calls are those that have no answer yet. A leader that falls silent, with its machine or because it is stopped, is not
// known by its connection for many seconds. So these are given up when a name service tells of a later leader, whatever
// the connection looks like. One that began before the move and found no connection until after it may be among them,
// and is made once more.
type calls struct {
	mu   sync.Mutex
	era  int // counts the addresses that were gone to
	open map[*call]struct{}
}

// call is one of them.
type call struct {
	era    int // in which it began
	cancel context.CancelCauseFunc
}

// begin notes a call and returns its context. It is open until end is called.
func (c *calls) begin(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*call]struct{}{}
	}
	one := &call{c.era, cancel}
	c.open[one] = struct{}{}
	return ctx, func() {
		cancel(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, one)
	}
}

// moved says that calls go elsewhere from now on.
func (c *calls) moved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
}

// leave gives up, after a moment, the calls that began before the last move.
func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	era := c.era
	time.AfterFunc(leaveAfter, func() { c.giveUp(era) })
}

func (c *calls) giveUp(era int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		if one.era < era {
			one.cancel(errLeft)
		}
	}
}

// reason returns the error of a call that ended with err: for one that was given up, UNAVAILABLE without a LeaderHint,
// as for a connection that broke.
func reason(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errLeft) {
		return status.Error(codes.Unavailable, errLeft.Error())
	}
	return err
}

// bound says whether a call is one to give up. Those about the cluster itself, which may well be what makes another lead,
// are not: their callers are people, who are told what became of it.
func bound(method string) bool {
	return strings.HasPrefix(method, "/taskgrid.v1.Dispatcher/")
}

func (f *Finder) followUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if bound(method) {
		open, end := f.calls.begin(ctx)
		defer end()
		ctx = open
	}
	err := reason(ctx, next(ctx, method, req, reply, cc, opts...))
	f.follow(err)
	return err
}

func (f *Finder) followStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	end := func() {}
	if bound(method) {
		ctx, end = f.calls.begin(ctx)
		context.AfterFunc(ctx, end) // whoever has enough of a stream ends its context
	}
	stream, err := next(ctx, desc, cc, method, opts...)
	if err != nil {
		err = reason(ctx, err)
		end()
		f.follow(err)
		return nil, err
	}
	return &followed{stream, f, end}, nil
}

// followed is a stream whose last error may name the leader.
type followed struct {
	grpc.ClientStream
	finder *Finder
	end    func()
}

// RecvMsg implements grpc.ClientStream.
func (s *followed) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		err = reason(s.Context(), err)
		s.end()
		s.finder.follow(err)
	}
	return err
}
