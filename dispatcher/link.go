package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/dispatcher/core"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// helloTimeout is how long a worker may take from the dial to its Hello.
	helloTimeout = 3 * time.Second

	// redialInitial and redialMax bound the pauses between attempts to reach a worker.
	redialInitial = 100 * time.Millisecond
	redialMax     = 2 * time.Second

	// frameBytes is how large a message with many assignments grows, in bytes of payload.
	frameBytes = 1 << 20
)

// keepLink keeps a Process stream to a worker open until ctx ends.
func (d *Dispatcher) keepLink(ctx context.Context, w core.WorkerInfo) {
	log := d.log.With("worker_id", w.ID, "address", w.Address)
	conn, err := d.cfg.Dial(rpc.Worker, w.Address)
	if err != nil {
		log.Error("worker has an address that cannot be dialled", "error", err)
		d.step(func(s *core.Scheduler) { s.Unreachable(w.ID, w.LeaseID, reason(err)) })
		return
	}
	defer conn.Close()
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(redialInitial), backoff.WithMaxInterval(redialMax), backoff.WithMaxElapsedTime(0))
	for {
		connected, err := d.runLink(ctx, conn, w)
		if ctx.Err() != nil {
			return
		}
		if connected {
			if !errors.As(err, new(nonsense)) {
				pause.Reset()
			}
			level := slog.LevelWarn
			if errors.Is(err, errWorkerEnded) { // as one that drains does
				level = slog.LevelInfo
			}
			log.Log(ctx, level, "stream to worker broke", "error", err)
		} else {
			log.Debug("worker not reached", "error", err)
			d.step(func(s *core.Scheduler) { s.Unreachable(w.ID, w.LeaseID, reason(err)) })
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// lastTerm returns the term in which this replica leads, or led last.
func (d *Dispatcher) lastTerm() uint64 {
	term, _ := d.Leading()
	return term
}

// lane is an open stream.
type lane struct {
	link core.Link
	wake chan struct{} // holds one: there is something in the outbox
}

// runLink opens a stream and serves it until it breaks. connected tells whether the worker said the right Hello.
func (d *Dispatcher) runLink(ctx context.Context, conn *grpc.ClientConn, w core.WorkerInfo) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(helloTimeout, cancel)
	named := rpc.MeantFor(rpc.WithLeader(ctx, d.journal.Cluster(), d.lastTerm()), w.ID)
	stream, err := pb.NewWorkerServiceClient(conn).Process(named)
	if err != nil {
		return false, err
	}
	first, err := stream.Recv()
	if !late.Stop() {
		return false, fmt.Errorf("no Hello within %v", helloTimeout)
	}
	if err != nil {
		return false, err
	}
	hello := first.GetHello()
	l, err := d.connect(ctx, w, hello)
	if err != nil {
		return false, err
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		defer cancel()
		d.sendOut(ctx, stream, l)
	})
	judge := newConduct(w.Capacity+min(int(hello.GetWindow()), maxWindow), time.Now())
	err = d.takeIn(stream, l, w.ID, first, judge)
	cancel()
	sending.Wait()
	d.disconnect(l, err)
	return true, err
}

// connect checks a Hello and begins the stream. It does not once ctx has ended: the worker may have another stream by now,
// begun by whom we dialled after that, and this one must not take its place.
func (d *Dispatcher) connect(ctx context.Context, w core.WorkerInfo, hello *pb.Hello) (*lane, error) {
	if hello == nil {
		return nil, errors.New("its first message has no Hello")
	}
	if hello.WorkerId != w.ID || hello.LeaseId != w.LeaseID {
		return nil, fmt.Errorf("worker %q answers at this address, under another lease or name than is registered", hello.WorkerId)
	}
	if n := max(len(hello.Running), len(hello.Outcomes)); n > maxHeld {
		return nil, nonsense{fmt.Sprintf("its Hello names %d attempts: must be at most %d", n, maxHeld)}
	}
	held := make([]core.Held, 0, len(hello.Running))
	for _, r := range hello.Running {
		held = append(held, core.Held{Task: r.GetTaskId(), Token: core.Token(r.GetAttempt()), Started: r.GetStarted()})
	}
	outcomes := make([]core.Outcome, 0, len(hello.Outcomes))
	for _, o := range hello.Outcomes {
		outcomes = append(outcomes, d.outcome(o))
	}
	l := &lane{wake: make(chan struct{}, 1)}
	err := errors.New("this dispatcher does not lead")
	d.step(func(s *core.Scheduler) {
		if err = ctx.Err(); err != nil {
			return
		}
		if l.link, err = s.Connect(w.ID, w.LeaseID, int(min(hello.Window, maxWindow)), held, outcomes); err == nil {
			d.lanes[l.link] = l
		}
	})
	if err != nil {
		return nil, err
	}
	d.log.Info("worker connected", "worker_id", w.ID, "address", w.Address, "running", len(held), "outcomes", len(outcomes))
	return l, nil
}

const (
	// maxWindow bounds how many assignments a worker may ask to be handed ahead.
	maxWindow = 1024

	// maxHeld bounds what a worker may name in its Hello. Ours keep as many outcomes that nobody has acknowledged, and run
	// far fewer.
	maxHeld = 65_536
)

func (d *Dispatcher) disconnect(l *lane, why error) {
	orderly := errors.Is(why, errWorkerEnded) || status.Code(why) == codes.Canceled // it drains, or we hung up
	d.step(func(s *core.Scheduler) { s.Disconnect(l.link, reason(why), !orderly) })
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.lanes, l.link)
}

// sendOut sends what the scheduler has for the worker until ctx ends or sending fails; why it failed is what the
// receiving side learns.
func (d *Dispatcher) sendOut(ctx context.Context, stream pb.WorkerService_ProcessClient, l *lane) {
	var messages []core.Message
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			runtime.Gosched() // what is about to be handed over too goes in the same message
		}
		messages = messages[:0]
		d.mu.Lock()
		if d.scheduler != nil {
			messages = d.scheduler.Outbox(l.link, messages)
		}
		d.mu.Unlock()
		for rest := messages; len(rest) > 0; {
			var frame *pb.ProcessRequest
			if frame, rest = nextFrame(rest); stream.Send(frame) != nil {
				return
			}
		}
		clear(messages)
	}
}

// nextFrame makes a message of as many as fit one, and returns the rest.
func nextFrame(messages []core.Message) (*pb.ProcessRequest, []core.Message) {
	frame := &pb.ProcessRequest{}
	// What there are many of is allocated in one piece.
	assignments, acks := make([]pb.Assignment, count(messages, core.Assign)), make([]pb.OutcomeAck, count(messages, core.Acknowledge))
	frame.Assignments, frame.Acks = make([]*pb.Assignment, 0, len(assignments)), make([]*pb.OutcomeAck, 0, len(acks))
	var timeout *durationpb.Duration // most tasks have the same
	size := 0
	for i, m := range messages {
		switch m.Kind {
		case core.Assign:
			a := &assignments[len(frame.Assignments)]
			if timeout == nil || timeout.AsDuration() != m.Timeout {
				timeout = duration(m.Timeout)
			}
			a.TaskId, a.Attempt, a.Timeout = m.Task, uint64(m.Token), timeout
			a.Type, a.Payload, a.RequestId = m.Spec.Type, m.Spec.Payload, m.Spec.RequestID
			frame.Assignments = append(frame.Assignments, a)
			if size += len(m.Spec.Payload); size >= frameBytes {
				return frame, messages[i+1:]
			}
		case core.Stop:
			if slices.ContainsFunc(frame.Assignments, func(a *pb.Assignment) bool { return a.TaskId == m.Task && a.Attempt == uint64(m.Token) }) {
				return frame, messages[i:] // a worker may read the cancels of a message first
			}
			frame.Cancels = append(frame.Cancels, &pb.Cancel{TaskId: m.Task, Attempt: uint64(m.Token)})
		case core.Acknowledge:
			ack := &acks[len(frame.Acks)]
			ack.TaskId, ack.Attempt = m.Task, uint64(m.Token)
			frame.Acks = append(frame.Acks, ack)
		}
	}
	return frame, nil
}

// count returns how many messages are of a kind.
func count(messages []core.Message, kind core.MessageKind) (n int) {
	for i := range messages {
		if messages[i].Kind == kind {
			n++
		}
	}
	return n
}

// errWorkerEnded says that a worker ended its stream in good order.
var errWorkerEnded = errors.New("the worker ended it")

// takeIn gives what the worker says to the scheduler until the stream breaks, or the worker is to be hung up on.
func (d *Dispatcher) takeIn(stream pb.WorkerService_ProcessClient, l *lane, worker string, frame *pb.ProcessResponse, judge conduct) error {
	for {
		var odd []oddity
		d.step(func(s *core.Scheduler) { odd = d.hear(s, l.link, frame) })
		d.logOddities(worker, odd)
		if err := judge.judge(time.Now(), countNonsense(odd), len(frame.Progress)); err != nil {
			return err
		}
		var err error
		if frame, err = stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return errWorkerEnded
			}
			return err
		}
		if frame.Hello != nil {
			return errors.New("the worker said Hello a second time")
		}
	}
}

// hear gives one message of a worker to the scheduler, and returns what was odd about it.
func (d *Dispatcher) hear(s *core.Scheduler, link core.Link, frame *pb.ProcessResponse) (odd []oddity) {
	note := func(reason, answer string, task, attempt uint64) {
		if reason != "" {
			odd = append(odd, oddity{answer: answer, reason: reason, task: task, attempt: attempt})
		}
	}
	for _, m := range frame.Started {
		note(s.Started(link, m.GetTaskId(), core.Token(m.GetAttempt())), "started", m.GetTaskId(), m.GetAttempt())
	}
	for _, m := range frame.Progress {
		note(s.Progress(link, m.GetTaskId(), core.Token(m.GetAttempt()), m.GetFraction()), "progress", m.GetTaskId(), m.GetAttempt())
	}
	for _, m := range frame.Outcomes {
		note(s.Outcome(link, d.outcome(m)), "outcome", m.GetTaskId(), m.GetAttempt())
	}
	for _, m := range frame.Refused {
		if m.GetDraining() {
			s.Drains(link)
		}
		note(s.Refused(link, m.GetTaskId(), core.Token(m.GetAttempt()), shorten(m.GetReason(), maxReason)), "refused", m.GetTaskId(), m.GetAttempt())
	}
	if frame.Hello == nil && len(frame.Started)+len(frame.Progress)+len(frame.Outcomes)+len(frame.Refused) == 0 {
		note(s.Malformed(), "nothing", 0, 0)
	}
	return odd
}

// countNonsense counts the answers that did not count.
func countNonsense(odd []oddity) (n int) {
	for _, o := range odd {
		if o.reason != core.OddBeforeStarted { // as simple workers answer, always
			n++
		}
	}
	return n
}

// outcome returns a worker's outcome in the core's terms. What a worker may not return becomes an error in words.
func (d *Dispatcher) outcome(o *pb.Outcome) core.Outcome {
	out := core.Outcome{Task: o.GetTaskId(), Token: core.Token(o.GetAttempt()), Elapsed: o.GetElapsed().AsDuration()}
	switch e := o.GetError(); {
	case e == nil && len(o.GetResult()) > d.cfg.MaxPayload:
		out.How, out.Text = core.EndPermanent, fmt.Sprintf("result: %d bytes: must be at most %d bytes", len(o.GetResult()), d.cfg.MaxPayload)
	case e == nil:
		out.How, out.Text = core.EndResult, o.GetResult()
	default:
		out.How, out.Text = endings[e.GetKind()], shorten(e.GetMessage(), maxReason)
		if out.How == 0 {
			out.How = core.EndRetryable
		}
	}
	return out
}

var endings = map[pb.ErrorKind]core.Ending{
	pb.ErrorKind_ERROR_KIND_INVALID_PAYLOAD: core.EndInvalidPayload,
	pb.ErrorKind_ERROR_KIND_RETRYABLE:       core.EndRetryable,
	pb.ErrorKind_ERROR_KIND_PERMANENT:       core.EndPermanent,
}

// maxReason bounds the texts that a worker or a caller may put into a history, in bytes.
const maxReason = 1024

// reason says in a few words why a call failed.
func reason(err error) string {
	if err == nil {
		return "ended"
	}
	if st, ok := status.FromError(err); ok {
		err = fmt.Errorf("%s: %s", st.Code(), st.Message())
	}
	return shorten(strings.ToValidUTF8(err.Error(), "?"), maxReason) // a peer may end a call with any bytes
}
