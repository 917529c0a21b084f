package client

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// MaxInFlight bounds the tasks that RunAll has out at the same time: the dispatcher reads no more from one stream.
const MaxInFlight = 16_384

// Finished is what became of a task of RunAll.
type Finished struct {
	Spec *pb.TaskSpec // as submitted, with its idempotency key
	Task *pb.Task     // in the BASIC view, when it has ended; nil if it was refused
	Err  error        // *RefusedError if it was refused; otherwise nil, also if the task FAILED
	Sent time.Time    // when it was given to the connection for the first time
}

// RunAll submits tasks over one stream and yields each once when it has ended or was refused, in the order of their ends.
// At most inFlight (1 to MaxInFlight) are out at a time; those that have ended are not, though they may not be yielded yet.
// It is the way to run many tasks fast. A broken stream is resumed
// without losing a task and without running one twice. An error ends it; a task that cannot be sent at all, because it is
// no valid UTF-8, is one.
//
// Specs is run by another goroutine. RunAll ends when specs has ended and all tasks were yielded; if it ends earlier (the
// caller's loop stops, or ctx ends), it waits for specs to take notice at its next yield.
func (c *Client) RunAll(ctx context.Context, inFlight int, specs iter.Seq[*pb.TaskSpec]) iter.Seq2[Finished, error] {
	return func(yield func(Finished, error) bool) {
		inFlight = min(max(inFlight, 1), MaxInFlight)
		r := &runner{
			client: c, yield: yield, flight: NewFlight[sent](), keys: newKeys(),
			free: inFlight, freed: make(chan struct{}, 1), fed: make(chan struct{}, 1),
		}
		ctx, cancel := context.WithCancelCause(withRequestID(ctx))
		var feeding sync.WaitGroup
		feeding.Go(func() {
			if err := r.feed(ctx, specs); err != nil {
				cancel(err)
			}
		})
		err := c.persist(ctx, true, r.session)
		if bad := context.Cause(ctx); bad != nil && !errors.Is(bad, ctx.Err()) {
			err = bad
		}
		cancel(nil)
		feeding.Wait()
		if err != nil && !r.stopped {
			yield(Finished{}, err)
		}
	}
}

// runner is one RunAll. Three goroutines work on it: feed takes tasks from the caller, send puts them on the stream, and
// the caller's own (session, receive) takes what comes back. A task is out from the time it is in source until it is yielded
// or about to be.
type runner struct {
	client  *Client
	yield   func(Finished, error) bool
	stopped bool   // yield returned false
	keys    string // begins the idempotency keys of this run

	freed chan struct{} // holds one: free was 0 and is not
	fed   chan struct{} // holds one: there is something in source, or never will be again

	mu     sync.Mutex
	free   int            // how many more tasks may be out
	source []*pb.TaskSpec // from feed to send
	ended  bool           // nothing more comes to source
	flight *Flight[sent]
}

// sent is a task that is out.
type sent struct {
	spec *pb.TaskSpec
	at   time.Time
}

// feed takes tasks from specs as slots become free. The error says why one of them cannot be sent.
func (r *runner) feed(ctx context.Context, specs iter.Seq[*pb.TaskSpec]) error {
	defer r.endSource()
	for spec := range specs {
		if err := sendable(spec); err != nil {
			return &RefusedError{Code: codes.InvalidArgument, Message: err.Error(), RequestID: rpc.RequestID(ctx)}
		}
		for !r.enter(spec) {
			select {
			case <-r.freed:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// enter puts a task into the source, if one more may be out.
func (r *runner) enter(spec *pb.TaskSpec) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == 0 {
		return false
	}
	r.free--
	r.source = append(r.source, spec)
	signal(r.fed)
	return true
}

// endSource says that nothing more comes to the source.
func (r *runner) endSource() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	signal(r.fed)
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// session runs the tasks over one stream, until all have ended or the stream breaks.
func (r *runner) session(ctx context.Context, talk *conversation) (Failure, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := r.client.dispatcher.RunTasks(ctx)
	if err != nil {
		cancel()
		return judged(err)
	}
	talk.connected()
	var sending sync.WaitGroup
	sending.Go(func() { r.send(ctx, stream) })
	defer sending.Wait()
	defer cancel()
	for {
		resp, err := stream.Recv()
		if err != nil {
			if r.done() {
				return judged(nil)
			}
			return judged(err)
		}
		talk.answered()
		if !r.receive(ctx, resp) || r.done() {
			return judged(nil)
		}
	}
}

// done says whether all tasks of the source have ended.
func (r *runner) done() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended && len(r.source) == 0 && r.flight.Len() == 0
}

// receive takes an answer and yields what has ended. It returns false when the caller has enough.
func (r *runner) receive(ctx context.Context, resp *pb.RunTasksResponse) bool {
	var ended []Finished
	r.mu.Lock()
	for _, ack := range resp.Acks {
		if ack.Result.GetError() == nil {
			r.flight.Accepted(ack.Ref, ack.Result.GetId())
		} else if s, ok := r.flight.Refused(ack.Ref); ok {
			ended = append(ended, Finished{Spec: s.spec, Sent: s.at, Err: refusedTask(ctx, ack.Result.Error)})
		}
	}
	for _, task := range resp.Finished {
		for _, s := range r.flight.Ended(task.Id) {
			ended = append(ended, Finished{Spec: s.spec, Sent: s.at, Task: task})
		}
	}
	r.free += len(ended) // while these are yielded, the next may go
	r.mu.Unlock()
	signal(r.freed)
	for _, f := range ended {
		if r.stopped = !r.yield(f, nil); r.stopped {
			return false
		}
	}
	return true
}

// send puts on the stream what an earlier stream left unfinished, then what comes from the source, many tasks in one
// message where many are waiting. It returns when there are no more, or when the stream is broken: session learns why.
func (r *runner) send(ctx context.Context, stream pb.Dispatcher_RunTasksClient) {
	r.mu.Lock()
	var batch []*pb.RunTask
	for _, ref := range r.flight.Unfinished() {
		batch = append(batch, &pb.RunTask{Ref: ref, Spec: r.flight.Task(ref).spec})
	}
	r.mu.Unlock()
	for {
		for len(batch) > 0 {
			n := batchLen(batch)
			if stream.Send(&pb.RunTasksRequest{Tasks: batch[:n]}) != nil {
				return
			}
			batch = batch[n:]
		}
		var last bool
		if batch, last = r.takeOff(); last {
			_ = stream.CloseSend() // always nil
			return
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-r.fed:
			runtime.Gosched() // let feed go on: the more tasks a message carries, the less each costs
		}
	}
}

// takeOff brings what is in the source into flight. Last says that there is nothing, and never will be.
func (r *runner) takeOff() (batch []*pb.RunTask, last bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.source) == 0 {
		return nil, r.ended
	}
	made := make([]pb.RunTask, len(r.source))
	batch = make([]*pb.RunTask, len(r.source))
	for i, spec := range r.source {
		spec = copyWithKey(spec, spec.GetIdempotencyKey())
		ref := r.flight.Add(sent{spec, now})
		if spec.IdempotencyKey == "" {
			spec.IdempotencyKey = r.keys + strconv.FormatUint(ref, 10)
		}
		batch[i] = &made[i]
		batch[i].Ref, batch[i].Spec = ref, spec
	}
	clear(r.source)
	r.source = r.source[:0]
	return batch, false
}

// batchLen returns how many of the tasks fit into one message.
func batchLen(batch []*pb.RunTask) int {
	bytes := 0
	for i, task := range batch {
		bytes += len(task.Spec.Payload)
		if i == maxBatch || i > 0 && bytes > maxBatchBytes {
			return i
		}
	}
	return len(batch)
}
