package client

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"taskgrid/internal/discovery"
)

// tryTimeout bounds one try of a call that has one answer. A dispatcher that hangs is noticed by then at the latest.
const tryTimeout = 10 * time.Second

// patientLog is after how long without an answer the log is told.
const patientLog = 2 * time.Second

// ask carries out a call that has one answer, trying again as long as Retry says. Calls that are not repeatable are
// those that do something more when they are done twice.
func ask[Req, Resp any](ctx context.Context, c *Client, repeatable bool, rpc func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (resp Resp, err error) {
	err = c.persist(ctx, repeatable, func(ctx context.Context, _ func()) (failure Failure, err error) {
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
// request id; a try that goes on for long calls progress when the grid has answered.
func (c *Client) persist(ctx context.Context, repeatable bool, try func(ctx context.Context, progress func()) (Failure, error)) error {
	ctx = withRequestID(ctx)
	retry := Retry{Repeatable: repeatable, Patience: c.cfg.Patience, Started: time.Now()}
	var last error // of the latest try, nil once the grid answered
	var silentSince time.Time
	logged := false
	progress := func() {
		c.reached.Store(true)
		retry.Progress()
		if logged {
			c.log.Info("the grid answers again", "after", time.Since(silentSince).Round(time.Millisecond))
		}
		last, silentSince, logged = nil, time.Time{}, false
	}
	for {
		failure, err := try(ctx, progress)
		if err == nil {
			progress()
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			<-ctx.Done() // the server, which knows the deadline, may have been a moment earlier than our own timer
		}
		if ctx.Err() != nil {
			return c.ended(ctx, last)
		}
		if failure == Answered {
			progress()
		}
		last = err
		now := time.Now()
		if silentSince.IsZero() {
			silentSince = now
		}
		pause, again := retry.Next(now, failure, c.reached.Load(), c.finder.Heard(), rand.Float64())
		if !again {
			return c.giveUp(ctx, failure, repeatable, err)
		}
		if !logged && now.Sub(silentSince) > patientLog {
			logged = true
			c.log.Warn("the grid does not answer; still trying", "tried", c.finder.Tried(), "error", discovery.Reason(err))
		}
		select {
		case <-ctx.Done():
			return c.ended(ctx, last)
		case <-time.After(pause):
		}
	}
}

// judged is the end of a try whose error needs no more looking at.
func judged(err error) (Failure, error) {
	if err == nil {
		return Answered, nil
	}
	return judge(err), err
}
