package workers

import (
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// maxTimeout stands for an assignment that bears no timeout: the longest that a task may have.
const maxTimeout = 24 * time.Hour

var (
	errDeposed   = status.Error(codes.FailedPrecondition, "term: a dispatcher of a later term has been here: this one leads no longer")
	errTakenOver = status.Error(codes.Aborted, "another Process stream has taken over")
	errEnding    = status.Error(codes.Unavailable, "the worker ends")
)

// service is the gRPC face of a worker: it translates between messages and engine.
type service struct {
	pb.UnimplementedWorkerServiceServer
	workerID string
	leaseID  string
	window   int
	engine   *engine
	readers  sync.WaitGroup // the goroutines that run read
}

// Process serves one dispatcher. Of several streams only the newest is current; the others end with ABORTED. One that led
// before the current one is refused with FAILED_PRECONDITION, and so is one that is meant for another worker: the process
// that had this address before, which the dispatcher goes on looking for, must not take over the stream of its successor.
func (v *service) Process(stream pb.WorkerService_ProcessServer) error {
	if meant := rpc.Meant(stream.Context()); meant != "" && meant != v.workerID {
		return status.Errorf(codes.FailedPrecondition, "worker_id: worker %s has this address now", v.workerID)
	}
	var who leader
	who.cluster, who.term = rpc.Leader(stream.Context())
	s, greeting, err := v.engine.attach(who)
	if err != nil {
		return err
	}
	defer v.engine.detach(s)
	v.engine.metrics.streams.Inc()
	v.readers.Go(func() { v.read(stream, s) }) // its Recv returns when this function has
	if err := stream.Send(&pb.ProcessResponse{Hello: v.hello(greeting)}); err != nil {
		return err
	}
	return v.write(stream, s)
}

func (v *service) hello(g greeting) *pb.Hello {
	return &pb.Hello{
		WorkerId: v.workerID,
		LeaseId:  v.leaseID,
		Window:   uint32(v.window),
		Running:  runningParts(g.held),
		Outcomes: outcomeParts(g.outcomes),
	}
}

// read passes on what the dispatcher says until the stream or the session ends.
func (v *service) read(stream pb.WorkerService_ProcessServer, s *session) {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			v.engine.halfClose(s)
			return
		}
		if err != nil {
			return // the stream's context has ended, and write ends with it
		}
		offers, cancels, acks := translate(request, time.Now())
		if !v.engine.receive(s, offers, cancels, acks) {
			return
		}
	}
}

// write sends what happens, as much as there is in one message, until the stream or the session ends.
func (v *service) write(stream pb.WorkerService_ProcessServer, s *session) error {
	for {
		select {
		case <-s.wake:
		case <-s.ended:
			return s.reason
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		for b := v.engine.collect(s); !b.empty(); b = v.engine.collect(s) {
			if err := stream.Send(b.message()); err != nil {
				return err
			}
		}
	}
}

// translate reads a message of the dispatcher.
func translate(request *pb.ProcessRequest, now time.Time) (offers []*Attempt, cancels, acks []Key) {
	if n := len(request.Assignments); n > 0 {
		offers = make([]*Attempt, 0, n)
	}
	for _, a := range request.Assignments {
		timeout := maxTimeout
		if a.Timeout != nil {
			timeout = min(a.Timeout.AsDuration(), maxTimeout)
		}
		offers = append(offers, &Attempt{
			Key:       Key{a.TaskId, a.Attempt},
			Type:      a.Type,
			Payload:   a.Payload,
			RequestID: a.RequestId,
			Deadline:  now.Add(timeout),
		})
	}
	for _, c := range request.Cancels {
		cancels = append(cancels, Key{c.TaskId, c.Attempt})
	}
	if n := len(request.Acks); n > 0 {
		acks = make([]Key, 0, n)
	}
	for _, a := range request.Acks {
		acks = append(acks, Key{a.TaskId, a.Attempt})
	}
	return offers, cancels, acks
}

// message returns the message that carries a batch. Each frequent kind of part is allocated in one piece: at full speed
// a message carries hundreds.
func (b *batch) message() *pb.ProcessResponse {
	return &pb.ProcessResponse{
		Started:  startedParts(b.started),
		Progress: progressParts(b.progress),
		Outcomes: outcomeParts(b.outcomes),
		Refused:  refusedParts(b.refused),
	}
}

func startedParts(keys []Key) []*pb.Started {
	parts, list := make([]pb.Started, len(keys)), make([]*pb.Started, len(keys))
	for i, k := range keys {
		list[i] = &parts[i]
		list[i].TaskId, list[i].Attempt = k.Task, k.Attempt
	}
	return list
}

func progressParts(reports map[Key]float32) []*pb.Progress {
	list := make([]*pb.Progress, 0, len(reports))
	for k, fraction := range reports {
		list = append(list, &pb.Progress{TaskId: k.Task, Attempt: k.Attempt, Fraction: fraction})
	}
	return list
}

func outcomeParts(outcomes []Outcome) []*pb.Outcome {
	parts, list := make([]pb.Outcome, len(outcomes)), make([]*pb.Outcome, len(outcomes))
	times := make([]durationpb.Duration, len(outcomes))
	for i, o := range outcomes {
		part := &parts[i]
		part.TaskId, part.Attempt, part.Result = o.Task, o.Attempt, o.Result
		times[i].Seconds, times[i].Nanos = int64(o.Elapsed/time.Second), int32(o.Elapsed%time.Second)
		part.Elapsed = &times[i]
		if o.Ending != Completed {
			part.Error = &pb.OutcomeError{Kind: errorKind[o.Ending], Message: o.Message}
		}
		list[i] = part
	}
	return list
}

func refusedParts(refusals []refusal) []*pb.Refused {
	list := make([]*pb.Refused, len(refusals))
	for i, r := range refusals {
		list[i] = &pb.Refused{TaskId: r.Task, Attempt: r.Attempt, Reason: r.reason, Draining: r.draining}
	}
	return list
}

func runningParts(held []heldAttempt) []*pb.Running {
	list := make([]*pb.Running, len(held))
	for i, h := range held {
		list[i] = &pb.Running{TaskId: h.Task, Attempt: h.Attempt, Started: h.started}
	}
	return list
}

// errorKind translates the endings that are errors.
var errorKind = [...]pb.ErrorKind{
	FailedInvalidPayload: pb.ErrorKind_ERROR_KIND_INVALID_PAYLOAD,
	FailedRetryable:      pb.ErrorKind_ERROR_KIND_RETRYABLE,
	FailedPermanent:      pb.ErrorKind_ERROR_KIND_PERMANENT,
}
