package fakegrid

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Dispatcher is one replica: it serves what a Grid holds while it leads. Its methods may be called concurrently.
type Dispatcher struct {
	pb.UnimplementedDispatcherServer
	grid *Grid

	mu          sync.Mutex
	follows     bool
	hint        string
	loseAnswers int
	streamLimit int
	calls       []string
	silent      bool
}

// NewDispatcher returns a replica of the grid that leads.
func NewDispatcher(grid *Grid) *Dispatcher { return &Dispatcher{grid: grid} }

// Follow makes it a replica that does not lead, and says that the leader listens at hint ("": nobody leads).
func (d *Dispatcher) Follow(hint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.follows, d.hint = true, hint
}

// FallSilent makes it answer no call any more, those that wait included, and end none.
func (d *Dispatcher) FallSilent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = true
}

// LoseAnswers makes it carry out the next n submissions and then answer UNAVAILABLE, as a dispatcher does that dies
// between commit and answer.
func (d *Dispatcher) LoseAnswers(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loseAnswers = n
}

// CutStreamsAfter breaks every stream after n messages. 0: never.
func (d *Dispatcher) CutStreamsAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streamLimit = n
}

// Calls returns the names of the calls that came, with the sender and the request id of each: "SubmitTasks cli R1".
func (d *Dispatcher) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// enter notes a call and refuses it if this replica does not lead.
func (d *Dispatcher) enter(ctx context.Context, name string) error {
	d.mu.Lock()
	d.calls = append(d.calls, name+" "+rpc.Sender(ctx)+" "+rpc.RequestID(ctx))
	if d.silent {
		d.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	defer d.mu.Unlock()
	if !d.follows {
		return nil
	}
	s, err := status.New(codes.Unavailable, "this dispatcher does not lead").WithDetails(&pb.LeaderHint{Address: d.hint})
	return errors.Join(err, s.Err())
}

func (d *Dispatcher) losesAnswer() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loseAnswers == 0 {
		return false
	}
	d.loseAnswers--
	return true
}

func (d *Dispatcher) limit() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.streamLimit
}

var errCut = status.Error(codes.Unavailable, "the stream was cut")

// SubmitTasks implements the contract.
func (d *Dispatcher) SubmitTasks(ctx context.Context, req *pb.SubmitTasksRequest) (*pb.SubmitTasksResponse, error) {
	if err := d.enter(ctx, "SubmitTasks"); err != nil {
		return nil, err
	}
	resp := &pb.SubmitTasksResponse{}
	for _, spec := range req.Tasks {
		resp.Results = append(resp.Results, d.grid.submit(spec, rpc.RequestID(ctx)))
	}
	if d.losesAnswer() {
		return nil, errCut
	}
	return resp, nil
}

// GetTasks implements the contract.
func (d *Dispatcher) GetTasks(ctx context.Context, req *pb.GetTasksRequest) (*pb.GetTasksResponse, error) {
	if err := d.enter(ctx, "GetTasks"); err != nil {
		return nil, err
	}
	found, missing, _ := d.grid.look(req.Ids)
	return &pb.GetTasksResponse{Tasks: found, Missing: missing}, nil
}

// GetTask implements the contract.
func (d *Dispatcher) GetTask(ctx context.Context, req *pb.GetTaskRequest) (*pb.GetTaskResponse, error) {
	if err := d.enter(ctx, "GetTask"); err != nil {
		return nil, err
	}
	found, _, _ := d.grid.look([]uint64{req.Id})
	if len(found) == 0 {
		return nil, status.Errorf(codes.NotFound, "task %d: no such task", req.Id)
	}
	return &pb.GetTaskResponse{Task: found[0]}, nil
}

// ListTasks implements the contract for the filters by state and type. The page token is the number of tasks to skip.
func (d *Dispatcher) ListTasks(ctx context.Context, req *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	if err := d.enter(ctx, "ListTasks"); err != nil {
		return nil, err
	}
	tasks := d.grid.Tasks()
	tasks = slices.DeleteFunc(tasks, func(t *pb.Task) bool {
		return len(req.States) > 0 && !slices.Contains(req.States, t.State) || req.Type != "" && req.Type != t.Type
	})
	if !req.Ascending {
		slices.Reverse(tasks)
	}
	skip, _ := strconv.Atoi(req.PageToken)
	tasks = tasks[min(skip, len(tasks)):]
	size := int(req.PageSize)
	if size == 0 {
		size = 100
	}
	resp := &pb.ListTasksResponse{Tasks: tasks}
	if len(tasks) > size {
		resp = &pb.ListTasksResponse{Tasks: tasks[:size], NextPageToken: strconv.Itoa(skip + size)}
	}
	return resp, nil
}

// CancelTasks implements the contract.
func (d *Dispatcher) CancelTasks(ctx context.Context, req *pb.CancelTasksRequest) (*pb.CancelTasksResponse, error) {
	if err := d.enter(ctx, "CancelTasks"); err != nil {
		return nil, err
	}
	resp := &pb.CancelTasksResponse{}
	for _, id := range req.Ids {
		resp.Results = append(resp.Results, d.grid.cancel(id, req.Reason))
	}
	return resp, nil
}

// RetryTasks implements the contract.
func (d *Dispatcher) RetryTasks(ctx context.Context, req *pb.RetryTasksRequest) (*pb.RetryTasksResponse, error) {
	if err := d.enter(ctx, "RetryTasks"); err != nil {
		return nil, err
	}
	resp := &pb.RetryTasksResponse{}
	for _, id := range req.Ids {
		resp.Results = append(resp.Results, d.grid.retry(id, rpc.RequestID(ctx)))
	}
	if d.losesAnswer() {
		return nil, errCut
	}
	return resp, nil
}

// GetStatus implements the contract: it counts the tasks and names one worker per type.
func (d *Dispatcher) GetStatus(ctx context.Context, _ *pb.DispatcherGetStatusRequest) (*pb.DispatcherGetStatusResponse, error) {
	if err := d.enter(ctx, "GetStatus"); err != nil {
		return nil, err
	}
	resp := &pb.DispatcherGetStatusResponse{
		Version: "fake", Uptime: durationpb.New(time.Second), Tasks: &pb.TaskCounts{},
		Raft: &pb.RaftStatus{Id: "d1", State: "leader", Term: 1, Leader: "d1", Peers: []string{"d1"}},
	}
	events, _ := d.grid.eventsAfter(0)
	resp.LastEvent = uint64(len(events))
	for _, task := range d.grid.Tasks() {
		resp.Tasks.Submitted++
		switch task.State {
		case pb.TaskState_TASK_STATE_COMPLETED:
			resp.Tasks.Completed++
		case pb.TaskState_TASK_STATE_FAILED:
			resp.Tasks.Failed++
		case pb.TaskState_TASK_STATE_CANCELLED:
			resp.Tasks.Cancelled++
		default:
			resp.Tasks.Queued++
		}
	}
	for _, name := range d.grid.types() {
		resp.Types = append(resp.Types, &pb.TypeStatus{Type: name, Tasks: &pb.TaskCounts{}})
		resp.Workers = append(resp.Workers, &pb.WorkerLink{Connected: true, Breaker: pb.BreakerState_BREAKER_STATE_CLOSED, Worker: &pb.Worker{
			WorkerId: name + "-1", Types: []string{name}, Address: "10.0.0.9:50060", Capacity: 2, State: pb.WorkerState_WORKER_STATE_ACTIVE}})
	}
	return resp, nil
}
