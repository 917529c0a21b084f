package dispatcher

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// maxUnfinished is how many tasks of one RunTasks stream may be unfinished; then the stream is not read until some are.
// A client that submits and never reads is stopped by it: what it does not take is not counted as finished.
const maxUnfinished = 16_384

// runStream is a RunTasks stream. Three parties share it: the reader takes submissions, the journal decides them, and
// the sender tells what has become of them.
type runStream struct {
	d         *Dispatcher
	requestID string
	waiter    *waiter       // tasks that are accepted and not told yet
	room      chan struct{} // holds one: unfinished has gone down
	encoding  []byte        // the sender's memory for the task that it encodes

	// Guarded by the Dispatcher's lock.
	acks       []*pb.RunAck // decided and not told yet
	settled    int          // of these, how many are all that there will be to tell
	undecided  int          // submissions on their way through the journal
	unfinished int          // read and not told as finished or refused
	ended      bool         // the client has no more
	err        error        // what ends the stream
}

// RunTasks implements pb.DispatcherServer.
func (s *Server) RunTasks(stream pb.Dispatcher_RunTasksServer) error {
	leave, err := s.d.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	r := &runStream{d: s.d, requestID: rpc.RequestID(ctx), waiter: newWaiter(), room: make(chan struct{}, 1)}
	if _, leading := s.d.await(r.waiter, nil); !leading {
		return s.toStatus(ctx, journal.ErrNotLeader)
	}
	defer s.d.leave(r.waiter)
	// The reader ends when the handler has returned, since Recv does then. What it read last may still be submitted: the
	// client, which has no answer, submits it again under its key.
	go r.read(ctx, stream)
	err = r.tell(ctx, stream)
	if _, is := status.FromError(err); is { // nil, or how the stream broke
		return err
	}
	return s.toStatus(ctx, err)
}

// read takes submissions until the client has no more or the stream breaks.
func (r *runStream) read(ctx context.Context, stream pb.Dispatcher_RunTasksServer) {
	for {
		req, err := stream.Recv()
		if err != nil {
			r.update(func() {
				if r.ended = true; !errors.Is(err, io.EOF) {
					r.err = err
				}
			})
			return
		}
		if len(req.GetTasks()) > maxUnfinished {
			r.update(func() {
				r.err = status.Errorf(codes.InvalidArgument, "tasks: %d: must be at most %d in a message", len(req.GetTasks()), maxUnfinished)
			})
			return
		}
		subs := submissionsOf(len(req.GetTasks()), func(i int) core.Spec { return specOf(req.GetTasks()[i].GetSpec(), r.requestID) })
		refs := make([]uint64, 0, len(subs))
		for _, t := range req.GetTasks() {
			refs = append(refs, t.GetRef())
		}
		if !r.enter(ctx, len(subs)) {
			return
		}
		r.d.submit(subs, func(err error) { r.decided(subs, refs, err) })
	}
}

// enter waits until there is room for n more tasks. A message may exceed the bound when nothing else is unfinished.
func (r *runStream) enter(ctx context.Context, n int) bool {
	for {
		entered := false
		r.d.mu.Lock()
		if r.unfinished == 0 || r.unfinished+n <= maxUnfinished {
			r.unfinished += n
			r.undecided += n
			entered = true
		}
		r.d.mu.Unlock()
		if entered {
			return true
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return false
		}
	}
}

// update changes what the lock guards, and wakes the sender.
func (r *runStream) update(do func()) {
	r.d.mu.Lock()
	do()
	r.d.mu.Unlock()
	signal(r.waiter.wake)
}

// decided takes what has become of submissions. Those that were accepted are waited for from here on; one that has
// become terminal meanwhile is ready at once.
func (r *runStream) decided(subs []*submission, refs []uint64, err error) {
	r.update(func() {
		r.undecided -= len(subs)
		if err != nil {
			r.err = err
			return
		}
		if r.waiter.over {
			return
		}
		acks := make([]pb.RunAck, len(subs))
		for i, s := range subs {
			acks[i].Ref, acks[i].Result = refs[i], s.result
			r.acks = append(r.acks, &acks[i])
			if s.task == nil {
				r.settled++
				continue
			}
			t := r.d.machine.Task(s.task.ID)
			if t == nil {
				r.err = errForgotten(s.task.ID)
				return
			}
			if _, twice := r.waiter.waiting[t.ID]; twice {
				r.settled++ // the same key twice in one stream: told once
				continue
			}
			r.d.awaitOne(r.waiter, t)
		}
	})
}

// tell sends acknowledgements and finished tasks until the client has no more and all is told.
func (r *runStream) tell(ctx context.Context, stream pb.Dispatcher_RunTasksServer) error {
	for {
		r.d.mu.Lock()
		acks, ready, settled, err := r.acks, r.waiter.ready, r.settled, r.err
		over, done := r.waiter.over, r.ended && r.undecided == 0 && len(r.waiter.waiting) == 0
		r.acks, r.waiter.ready, r.settled = nil, nil, 0
		r.d.mu.Unlock()
		if err := r.send(stream, acks, ready); err != nil {
			return err
		}
		r.finished(len(ready) + settled)
		switch {
		case err != nil:
			return err
		case over:
			return journal.ErrNotLeader
		case done && len(acks) == 0 && len(ready) == 0:
			return nil
		case done:
			continue // once more: nothing may have come meanwhile
		}
		select {
		case <-r.waiter.wake:
			runtime.Gosched() // acknowledgements come a moment after the ends that came with them, and go in the same message
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// send sends acknowledgements, and ended tasks in messages of about frameBytes.
func (r *runStream) send(stream pb.Dispatcher_RunTasksServer, acks []*pb.RunAck, ready []*core.Task) error {
	if len(acks)+len(ready) == 0 {
		return nil
	}
	frame, err := (&pb.RunTasksResponse{Acks: acks}).MarshalVT() // their texts are ours, or came in messages: valid UTF-8
	if err != nil {
		return err
	}
	frame = slices.Grow(frame, min(len(ready)*usualTaskBytes, frameBytes))
	for _, t := range ready {
		if frame, r.encoding = appendTask(frame, finishedField, t, r.encoding); len(frame) < frameBytes {
			continue
		}
		if err := stream.SendMsg(rpc.Encoded(frame)); err != nil {
			return err
		}
		frame = nil
	}
	if len(frame) == 0 {
		return nil
	}
	return stream.SendMsg(rpc.Encoded(frame))
}

// usualTaskBytes is about what a finished task with a payload of 32 bytes takes in a message.
const usualTaskBytes = 192

// finishedField is where RunTasksResponse has its tasks.
const finishedField = 2

// finished makes room for n more tasks.
func (r *runStream) finished(n int) {
	if n == 0 {
		return
	}
	r.d.mu.Lock()
	r.unfinished -= n
	r.d.mu.Unlock()
	signal(r.room)
}
