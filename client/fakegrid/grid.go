// Package fakegrid is a grid in memory, for tests of what talks to one: a dispatcher and a name service that behave as
// the contract says, and faults to order. It has no workers: a function per type answers, when the test lets it.
package fakegrid

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// Handler does a task: it returns a result, or an error in words.
type Handler func(payload string) (string, error)

// Grid is what the dispatchers of a fake grid have on disk: it outlives them. Its methods may be called concurrently.
type Grid struct {
	mu       sync.Mutex
	handlers map[string]Handler
	tasks    []*pb.Task // by id - 1; the last state of each
	keys     map[string]uint64
	events   []*pb.Event
	held     bool
	changed  chan struct{} // closed at the next change
}

// NewGrid returns a grid whose workers do the types of handlers.
func NewGrid(handlers map[string]Handler) *Grid {
	return &Grid{handlers: handlers, keys: map[string]uint64{}, changed: make(chan struct{})}
}

// Hold keeps new tasks QUEUED until Release.
func (g *Grid) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
}

// Release lets all waiting tasks end, in their order.
func (g *Grid) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = false
	for _, task := range slices.Clone(g.tasks) {
		g.work(task.Id)
	}
}

// Count returns how many tasks were ever accepted.
func (g *Grid) Count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tasks)
}

// WaitForTasks returns when n tasks were accepted.
func (g *Grid) WaitForTasks(n int) {
	for {
		g.mu.Lock()
		accepted, changed := len(g.tasks), g.changed
		g.mu.Unlock()
		if accepted >= n {
			return
		}
		<-changed
	}
}

// Tasks returns all tasks as they stand.
func (g *Grid) Tasks() []*pb.Task {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.tasks)
}

// submit accepts a task, or says why not.
func (g *Grid) submit(spec *pb.TaskSpec, requestID string) *pb.SubmitResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	if spec.Type == "" {
		return refused(codes.InvalidArgument, "type: \"\": must be 1 to 32 characters")
	}
	if g.handlers[spec.Type] == nil {
		known := slices.Sorted(maps.Keys(g.handlers))
		return refused(codes.FailedPrecondition, fmt.Sprintf("type: %q: no worker ever registered it; known types: %v", spec.Type, known))
	}
	if id := g.keys[spec.IdempotencyKey]; id != 0 {
		if old := g.tasks[id-1]; old.Type != spec.Type || old.Payload != spec.Payload {
			return refused(codes.AlreadyExists, fmt.Sprintf("idempotency_key: %q: belongs to task %d, which is another", spec.IdempotencyKey, id))
		}
		return &pb.SubmitResult{Id: id, Duplicate: true}
	}
	id := g.create(spec, requestID, 0)
	g.work(id)
	return &pb.SubmitResult{Id: id}
}

func refused(code codes.Code, message string) *pb.SubmitResult {
	return &pb.SubmitResult{Error: taskError(code, message)}
}

func taskError(code codes.Code, message string) *pb.TaskError {
	return &pb.TaskError{Code: uint32(code), Message: message}
}

func (g *Grid) create(spec *pb.TaskSpec, requestID string, retryOf uint64) uint64 {
	id := uint64(len(g.tasks) + 1)
	if spec.IdempotencyKey != "" {
		g.keys[spec.IdempotencyKey] = id
	}
	g.tasks = append(g.tasks, &pb.Task{
		Id: id, Type: spec.Type, Payload: spec.Payload, Priority: spec.Priority, Labels: spec.Labels,
		IdempotencyKey: spec.IdempotencyKey, MaxAttempts: cmp.Or(spec.MaxAttempts, 4), RequestId: requestID, RetryOf: retryOf,
		AttemptTimeout: durationpb.New(time.Minute), CreatedTime: timestamppb.Now()})
	g.step(id, pb.TaskState_TASK_STATE_CREATED, "")
	g.step(id, pb.TaskState_TASK_STATE_QUEUED, "")
	return id
}

// work does a waiting task, unless tasks are held.
func (g *Grid) work(id uint64) {
	task := g.tasks[id-1]
	if g.held || task.State != pb.TaskState_TASK_STATE_QUEUED {
		return
	}
	worker := task.Type + "-1"
	g.change(id, func(t *pb.Task) { t.WorkerId, t.Attempts, t.DispatchedTime = worker, 1, timestamppb.Now() })
	g.step(id, pb.TaskState_TASK_STATE_DISPATCHED, "")
	g.step(id, pb.TaskState_TASK_STATE_PROCESSING, "")
	result, err := g.handlers[task.Type](task.Payload)
	g.change(id, func(t *pb.Task) { t.Duration = durationpb.New(time.Millisecond) })
	if err != nil {
		g.change(id, func(t *pb.Task) { t.Error = err.Error() })
		g.step(id, pb.TaskState_TASK_STATE_FAILED, err.Error())
		return
	}
	g.change(id, func(t *pb.Task) { t.Result = &result })
	g.step(id, pb.TaskState_TASK_STATE_COMPLETED, "")
}

// change replaces a task by a changed copy: readers keep the one they have.
func (g *Grid) change(id uint64, do func(*pb.Task)) {
	task := proto.CloneOf(g.tasks[id-1])
	do(task)
	g.tasks[id-1] = task
}

// step brings a task to another state and tells whoever waits.
func (g *Grid) step(id uint64, to pb.TaskState, reason string) {
	now := timestamppb.Now()
	g.change(id, func(t *pb.Task) {
		attempt := t.Attempts
		t.History = append(t.History, &pb.Transition{Time: now, From: t.State, To: to, Attempt: attempt, WorkerId: t.WorkerId, Reason: reason})
		g.events = append(g.events, &pb.Event{Sequence: uint64(len(g.events) + 1), Time: now, What: &pb.Event_Task{Task: &pb.TaskEvent{
			Id: id, Type: t.Type, From: t.State, To: to, Attempt: attempt, WorkerId: t.WorkerId, Reason: reason}}})
		t.State = to
		if terminal(to) {
			t.CompletedTime = now
		}
	})
	close(g.changed)
	g.changed = make(chan struct{})
}

func terminal(s pb.TaskState) bool { return s >= pb.TaskState_TASK_STATE_COMPLETED }

// cancel ends a task that has not ended.
func (g *Grid) cancel(id uint64, reason string) *pb.CancelResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case id == 0 || id > uint64(len(g.tasks)):
		return &pb.CancelResult{Id: id, Error: taskError(codes.NotFound, fmt.Sprintf("task %d: no such task", id))}
	case terminal(g.tasks[id-1].State):
		return &pb.CancelResult{Id: id, Error: taskError(codes.FailedPrecondition, fmt.Sprintf("task %d: has ended", id))}
	}
	g.change(id, func(t *pb.Task) { t.Error = reason })
	g.step(id, pb.TaskState_TASK_STATE_CANCELLED, reason)
	return &pb.CancelResult{Id: id}
}

// retry submits a failed or cancelled task anew.
func (g *Grid) retry(id uint64, requestID string) *pb.RetryResult {
	g.mu.Lock()
	defer g.mu.Unlock()
	if id == 0 || id > uint64(len(g.tasks)) {
		return &pb.RetryResult{Id: id, Error: taskError(codes.NotFound, fmt.Sprintf("task %d: no such task", id))}
	}
	old := g.tasks[id-1]
	if s := old.State; s != pb.TaskState_TASK_STATE_FAILED && s != pb.TaskState_TASK_STATE_CANCELLED {
		return &pb.RetryResult{Id: id, Error: taskError(codes.FailedPrecondition, fmt.Sprintf("task %d: is %v", id, s))}
	}
	newID := g.create(&pb.TaskSpec{Type: old.Type, Payload: old.Payload}, requestID, id)
	g.work(newID)
	return &pb.RetryResult{Id: id, NewId: newID}
}

// look returns the tasks with these ids, the ids that are not known, and a channel that closes at the next change.
func (g *Grid) look(ids []uint64) (found []*pb.Task, missing []uint64, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		if id == 0 || id > uint64(len(g.tasks)) {
			missing = append(missing, id)
			continue
		}
		found = append(found, g.tasks[id-1])
	}
	return found, missing, g.changed
}

// eventsAfter returns the events after a sequence number, and a channel that closes at the next change.
func (g *Grid) eventsAfter(since uint64) ([]*pb.Event, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.events[min(since, uint64(len(g.events))):]), g.changed
}

// types returns the types that can be done, in order.
func (g *Grid) types() []string { return slices.Sorted(maps.Keys(g.handlers)) }
