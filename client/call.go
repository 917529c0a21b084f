package client

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"taskgrid/internal/discovery"
)

const (
	// tryTimeout bounds one try of a call that has one answer. A dispatcher that hangs is noticed by then at the latest.
	tryTimeout = 10 * time.Second

	// steadyAfter is how long a stream has to stand to count as an answer, though nothing came over it: there may be
	// nothing to say for hours.
	steadyAfter = time.Second

	// leastPause is before each further try, however good the reason to hurry.
	leastPause = 5 * time.Millisecond

	// logAfter is after how long without an answer the log is told.
	logAfter = 2 * time.Second
)

// ask carries out a call that has one answer, trying again as long as Retry says. Calls that are not repeatable are
// those that do something more when they are done twice.
func ask[Req, Resp any](ctx context.Context, c *Client, repeatable bool, rpc func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (resp Resp, err error) {
	err = c.persist(ctx, repeatable, func(ctx context.Context, _ *conversation) (failure Failure, err error) {
		bounded, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		var sentTo peer.Peer
		resp, err = rpc(bounded, req, grpc.Peer(&sentTo))
		failure = judge(err)
		if failure == InDoubt && sentTo.Addr == nil {
			failure = NotDone // no connection was there to send it on
		}
		return failure, err
	})
	return resp, err
}

// persist calls try until it succeeds, the grid says no, Retry gives up, or ctx ends. Try gets a context that bears the
// request id; one that holds a stream tells the conversation how it goes.
func (c *Client) persist(ctx context.Context, repeatable bool, try func(context.Context, *conversation) (Failure, error)) error {
	ctx = withRequestID(ctx)
	talk := &conversation{client: c, retry: Retry{Repeatable: repeatable, Patience: c.cfg.Patience, Started: time.Now()}}
	for {
		moved := c.finder.Moved()
		failure, err := try(ctx, talk)
		if err == nil {
			talk.answered()
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			<-ctx.Done() // the server, which knows the deadline, may have been a moment earlier than our own timer
		}
		if ctx.Err() != nil {
			return c.ended(ctx, talk.silence())
		}
		pause, again := talk.failed(failure, err)
		if !again {
			return c.giveUp(ctx, failure, repeatable, err)
		}
		select {
		case <-ctx.Done():
			return c.ended(ctx, talk.silence())
		case <-time.After(pause):
		case <-moved: // there is a new address; two who each name the other must not make this spin
			select {
			case <-ctx.Done():
			case <-time.After(leastPause):
			}
		}
	}
}

// conversation is what is known, from try to try, of how the grid answers one call.
type conversation struct {
	client *Client
	retry  Retry

	last        error     // of the latest try; nil since the grid answered
	connectedAt time.Time // when the stream of this try was opened; zero: it was not, or there is none
	silentSince time.Time // the first failure since the grid answered; zero: none
	logged      bool      // the log knows that the grid does not answer
}

// connected says that a stream is open.
func (t *conversation) connected() { t.connectedAt = time.Now() }

// answered says that the grid answered.
func (t *conversation) answered() {
	t.client.reached.Store(true)
	t.retry.Progress()
	if t.logged {
		t.client.log.Info("the grid answers again", "after", time.Since(t.silentSince).Round(time.Millisecond).String())
	}
	t.last, t.silentSince, t.logged = nil, time.Time{}, false
}

// steady says whether the stream of this try stands long enough to count as an answer.
func (t *conversation) steady(now time.Time) bool {
	return !t.connectedAt.IsZero() && now.Sub(t.connectedAt) >= steadyAfter
}

// silence returns what the latest try failed with, or nil if the grid answers.
func (t *conversation) silence() error {
	if t.steady(time.Now()) {
		return nil
	}
	return t.last
}

// failed takes the failure of a try and says whether and after which pause to try again.
func (t *conversation) failed(failure Failure, err error) (pause time.Duration, again bool) {
	now := time.Now()
	if failure == Answered || t.steady(now) {
		t.answered()
	}
	t.last, t.connectedAt = err, time.Time{}
	if t.silentSince.IsZero() {
		t.silentSince = now
	}
	finder := t.client.finder
	pause, again = t.retry.Next(now, failure, t.client.reached.Load(), finder.Heard(), rand.Float64())
	if again && !t.logged && now.Sub(t.silentSince) > logAfter {
		t.logged = true
		t.client.log.Warn("the grid does not answer; still trying", "tried", finder.Tried(), "error", discovery.Reason(err))
	}
	return pause, again
}

// judged is the end of a try whose error needs no more looking at.
func judged(err error) (Failure, error) {
	if err == nil {
		return Answered, nil
	}
	return judge(err), err
}
