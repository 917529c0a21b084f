// Package taskjson is the one JSON form of a task and of an event: in monitoring's REST answers and with -o json on the
// command line. Times are Unix milliseconds, durations milliseconds with a fraction, names of states without prefix.
// What was not reached is absent.
package taskjson

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// Task is a task. See the message Task of the contract for what each field means.
type Task struct {
	ID               uint64            `json:"id"`
	Type             string            `json:"type"`
	Payload          *string           `json:"payload,omitempty"` // absent in the BASIC view
	Result           *string           `json:"result,omitempty"`  // present, even if "", exactly when COMPLETED
	Error            string            `json:"error,omitempty"`
	Status           string            `json:"status"`
	Attempts         uint32            `json:"attempts"`
	MaxAttempts      uint32            `json:"max_attempts"`
	Redeliveries     uint32            `json:"redeliveries,omitempty"`
	WorkerID         string            `json:"worker_id,omitempty"`
	RequestID        string            `json:"request_id"`
	IdempotencyKey   string            `json:"idempotency_key,omitempty"`
	Priority         int32             `json:"priority"`
	Labels           map[string]string `json:"labels"`
	Progress         float32           `json:"progress,omitempty"` // 0 to 1
	RetryOf          uint64            `json:"retry_of,omitempty"`
	Created          int64             `json:"timestamp_created"`
	Dispatched       int64             `json:"timestamp_dispatched,omitempty"`
	Completed        int64             `json:"timestamp_completed,omitempty"`
	NextTry          int64             `json:"timestamp_retry,omitempty"` // when a RETRYING task is queued again
	DurationMS       *float64          `json:"duration_ms,omitempty"`
	AttemptTimeoutMS float64           `json:"attempt_timeout_ms"`
	QueueTimeoutMS   float64           `json:"queue_timeout_ms,omitempty"`
	History          []Transition      `json:"history,omitempty"` // absent in the BASIC view
	HistoryDropped   uint32            `json:"history_dropped,omitempty"`
}

// Transition is one step of a task's life.
type Transition struct {
	Time     int64  `json:"timestamp"`
	From     string `json:"from,omitempty"` // absent for the first step
	To       string `json:"to"`
	Attempt  uint32 `json:"attempt,omitempty"`
	WorkerID string `json:"worker_id,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Event is a step of a task (Kind "task": TaskID and Type are present) or a change of a worker (Kind "worker": Aspect is
// present).
type Event struct {
	Sequence uint64 `json:"sequence"`
	Time     int64  `json:"timestamp"`
	Kind     string `json:"kind"`
	TaskID   uint64 `json:"task_id,omitempty"`
	Type     string `json:"type,omitempty"`
	Aspect   string `json:"aspect,omitempty"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
	Attempt  uint32 `json:"attempt,omitempty"`
	WorkerID string `json:"worker_id,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// FromTask returns the JSON form of a task. A task without history is one in the BASIC view: every task has at least the
// step with which it began.
func FromTask(t *pb.Task) Task {
	task := Task{
		ID: t.Id, Type: t.Type, Error: t.Error, Status: State(t.State), Attempts: t.Attempts, MaxAttempts: t.MaxAttempts,
		Redeliveries: t.Redeliveries, WorkerID: t.WorkerId, RequestID: t.RequestId, IdempotencyKey: t.IdempotencyKey,
		Priority: t.Priority, Labels: t.Labels, Progress: t.Progress, RetryOf: t.RetryOf,
		Created: millis(t.CreatedTime), Dispatched: millis(t.DispatchedTime), Completed: millis(t.CompletedTime),
		NextTry: millis(t.RetryTime), AttemptTimeoutMS: Millis(t.AttemptTimeout), QueueTimeoutMS: Millis(t.QueueTimeout),
		HistoryDropped: t.HistoryDropped,
	}
	if task.Labels == nil {
		task.Labels = map[string]string{}
	}
	if t.State == pb.TaskState_TASK_STATE_COMPLETED {
		result := t.GetResult()
		task.Result = &result
	}
	if t.Duration != nil {
		ms := Millis(t.Duration)
		task.DurationMS = &ms
	}
	for _, h := range t.History {
		task.History = append(task.History, Transition{
			Time: millis(h.Time), From: State(h.From), To: State(h.To), Attempt: h.Attempt, WorkerID: h.WorkerId, Reason: h.Reason})
	}
	if len(t.History) > 0 {
		task.Payload = &t.Payload
	}
	return task
}

// FromEvent returns the JSON form of an event.
func FromEvent(e *pb.Event) Event {
	event := Event{Sequence: e.Sequence, Time: millis(e.Time)}
	switch what := e.What.(type) {
	case *pb.Event_Task:
		t := what.Task
		event.Kind, event.TaskID, event.Type, event.From, event.To = "task", t.Id, t.Type, State(t.From), State(t.To)
		event.Attempt, event.WorkerID, event.Reason = t.Attempt, t.WorkerId, t.Reason
	case *pb.Event_Worker:
		w := what.Worker
		event.Kind, event.WorkerID, event.Aspect, event.From, event.To = "worker", w.WorkerId, w.Aspect, w.From, w.To
		event.Reason = w.Reason
	}
	return event
}

// State returns the name of a state without its prefix, such as COMPLETED, or "" for no state.
func State(s pb.TaskState) string {
	if s == pb.TaskState_TASK_STATE_UNSPECIFIED {
		return ""
	}
	return strings.TrimPrefix(s.String(), "TASK_STATE_")
}

// ParseState is the reverse of State; upper and lower case are the same. It returns false for a name that is none.
func ParseState(name string) (pb.TaskState, bool) {
	s, ok := pb.TaskState_value["TASK_STATE_"+strings.ToUpper(name)]
	return pb.TaskState(s), ok && s != 0
}

// Terminal says whether a task in this state never changes again.
func Terminal(s pb.TaskState) bool {
	switch s {
	case pb.TaskState_TASK_STATE_COMPLETED, pb.TaskState_TASK_STATE_FAILED, pb.TaskState_TASK_STATE_CANCELLED:
		return true
	}
	return false
}

// Millis returns a duration in milliseconds, exact to the microsecond; 0 if it is absent.
func Millis(d *durationpb.Duration) float64 {
	return float64(d.AsDuration().Round(time.Microsecond)) / float64(time.Millisecond)
}

// millis returns Unix milliseconds, or 0 if t is absent.
func millis(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixMilli()
}
