package dispatcher

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// The core's types and the proto's, in both directions. The states have the same numbers.

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// someDuration leaves out a duration of 0.
func someDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// instant leaves out a moment that never was.
func instant(i core.Instant) *timestamppb.Timestamp {
	if i == 0 {
		return nil
	}
	return setInstant(new(timestamppb.Timestamp), i)
}

// setInstant returns to, set to a moment; nil for one that never was.
func setInstant(to *timestamppb.Timestamp, i core.Instant) *timestamppb.Timestamp {
	if i == 0 {
		return nil
	}
	at := i.Time()
	to.Seconds, to.Nanos = at.Unix(), int32(at.Nanosecond())
	return to
}

// setDuration returns to, set to d.
func setDuration(to *durationpb.Duration, d time.Duration) *durationpb.Duration {
	to.Seconds, to.Nanos = int64(d/time.Second), int32(d%time.Second)
	return to
}

// shorten cuts s to at most n bytes, between characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// specOf returns what a caller asked for in the core's terms.
func specOf(p *pb.TaskSpec, requestID string) core.Spec {
	s := core.Spec{
		Type: p.GetType(), Payload: p.GetPayload(), Key: p.GetIdempotencyKey(), RequestID: requestID,
		AttemptTimeout: p.GetAttemptTimeout().AsDuration(), QueueTimeout: p.GetQueueTimeout().AsDuration(),
		MaxAttempts: p.GetMaxAttempts(), Priority: p.GetPriority(),
	}
	for k, v := range p.GetLabels() {
		s.Labels = append(s.Labels, core.Label{Key: k, Value: v})
	}
	return s
}

// wholeTask is a pb.Task and what nearly every one points to, in one piece of memory.
type wholeTask struct {
	pb.Task
	created, dispatched, completed timestamppb.Timestamp
	timeout, took                  durationpb.Duration
}

// taskOf returns a task as callers see it. share is how much of its running attempt is done.
func taskOf(t *core.Task, view pb.TaskView, share float32) *pb.Task {
	whole := new(wholeTask)
	p := &whole.Task
	p.Id, p.Type, p.Error, p.State = t.ID, t.Type, t.Error, pb.TaskState(t.State)
	p.Attempts, p.Redeliveries, p.MaxAttempts = uint32(t.Attempts), uint32(t.Redeliveries), t.MaxAttempts
	p.WorkerId, p.RequestId, p.IdempotencyKey, p.Priority = t.WorkerID, t.RequestID, t.Key, t.Priority
	p.CreatedTime = setInstant(&whole.created, t.Created)
	p.DispatchedTime = setInstant(&whole.dispatched, t.DispatchedAt)
	p.CompletedTime = setInstant(&whole.completed, t.Ended)
	p.AttemptTimeout, p.QueueTimeout = setDuration(&whole.timeout, t.AttemptTimeout), someDuration(t.QueueTimeout)
	p.RetryOf, p.RetryTime, p.Progress = t.RetryOf, instant(t.RetryAt), share
	if t.Duration != 0 {
		p.Duration = setDuration(&whole.took, t.Duration)
	}
	if t.State == core.Completed {
		p.Result = &t.Result
	}
	for _, l := range t.Labels {
		if p.Labels == nil {
			p.Labels = make(map[string]string, len(t.Labels))
		}
		p.Labels[l.Key] = l.Value
	}
	if view == pb.TaskView_TASK_VIEW_BASIC {
		return p
	}
	p.Payload = t.Payload
	p.HistoryDropped = t.HistoryDropped()
	for _, s := range t.History() {
		p.History = append(p.History, &pb.Transition{Time: instant(s.At), From: pb.TaskState(s.From), To: pb.TaskState(s.To),
			Attempt: s.Attempt, WorkerId: s.WorkerID, Reason: s.Reason})
	}
	return p
}

func eventOf(e *core.Event) *pb.Event {
	p := &pb.Event{Sequence: e.Seq, Time: instant(e.At)}
	if e.TaskID == 0 {
		p.What = &pb.Event_Worker{Worker: &pb.WorkerEvent{WorkerId: e.WorkerID, Aspect: e.Aspect, From: e.Before, To: e.After, Reason: e.Reason}}
		return p
	}
	p.What = &pb.Event_Task{Task: &pb.TaskEvent{Id: e.TaskID, Type: e.Type, From: pb.TaskState(e.From), To: pb.TaskState(e.To),
		Attempt: e.Attempt, WorkerId: e.WorkerID, Reason: e.Reason}}
	return p
}

// workerOf returns what a name service says of a worker in the core's terms.
func workerOf(p *pb.Worker) core.WorkerInfo {
	state := core.WorkerState(p.GetState())
	if state > core.WorkerDraining {
		state = core.WorkerUnhealthy // a state of a later version: nothing new for it
	}
	return core.WorkerInfo{ID: p.GetWorkerId(), LeaseID: p.GetLeaseId(), Address: p.GetAddress(), Types: p.GetTypes(),
		Capacity: int(p.GetCapacity()), State: state}
}
