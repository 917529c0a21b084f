package bound

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// dispatcher serves RunTasks, and SubmitTasks of one task that is waited for.
type dispatcher struct {
	pb.UnimplementedDispatcherServer
	log   *log
	ids   atomic.Uint64
	links sync.Map // *link by type
}

// task is a task until it has ended.
type task struct {
	id                  uint64
	spec                *pb.TaskSpec
	request             string
	created, dispatched time.Time
	ended               func(*pb.Task)
}

// Serve serves on lis until ctx ends, with the workers that the name service knows and a log in folder.
func Serve(ctx context.Context, lis net.Listener, nameservice, folder string) error {
	log, err := openLog(folder)
	if err != nil {
		return err
	}
	d := &dispatcher{log: log}
	server, _ := rpc.NewServer()
	pb.RegisterDispatcherServer(server, d)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return log.run(ctx) })
	group.Go(func() error { return d.find(ctx, nameservice) })
	group.Go(func() error { return process.ServeGRPC(ctx, server, lis, time.Second) })
	return group.Wait()
}

// submit takes tasks of one type. Accepted is called when they are on disk, ended for each when its outcome is.
func (d *dispatcher) submit(ctx context.Context, specs []*pb.TaskSpec, accepted func([]*task), ended func(*pb.Task)) {
	if len(specs) == 0 {
		return
	}
	tasks, now, request := make([]*task, len(specs)), time.Now(), rpc.RequestID(ctx)
	for i, spec := range specs {
		tasks[i] = &task{id: d.ids.Add(1), spec: spec, request: request, created: now, ended: ended}
	}
	d.log.add(encode(specs), func() {
		accepted(tasks)
		if l, ok := d.links.Load(specs[0].Type); !ok || !l.(*link).give(tasks) {
			fail(tasks, "no worker has registered the type")
		}
	})
}

// encode returns what the log keeps. What cannot be encoded has not come over the wire.
func encode[M proto.Message](messages []M) (data []byte) {
	for _, m := range messages {
		data, _ = proto.MarshalOptions{}.MarshalAppend(data, m)
	}
	return data
}

func fail(tasks []*task, why string) {
	for _, t := range tasks {
		t.ended(&pb.Task{Id: t.id, Type: t.spec.Type, State: pb.TaskState_TASK_STATE_FAILED, Error: why})
	}
}

// answer returns the task with its outcome: the fields that the BASIC view has of such a task.
func (t *task) answer(worker string, o *pb.Outcome) *pb.Task {
	a := &pb.Task{
		Id: t.id, Type: t.spec.Type, State: pb.TaskState_TASK_STATE_COMPLETED, Result: &o.Result, Attempts: 1, MaxAttempts: 4,
		WorkerId: worker, RequestId: t.request, IdempotencyKey: t.spec.IdempotencyKey,
		CreatedTime: timestamppb.New(t.created), DispatchedTime: timestamppb.New(t.dispatched), CompletedTime: timestamppb.Now(),
		AttemptTimeout: durationpb.New(time.Minute), Duration: o.Elapsed,
	}
	if o.Error != nil {
		a.State, a.Result, a.Error = pb.TaskState_TASK_STATE_FAILED, nil, o.Error.Message
	}
	return a
}

// SubmitTasks implements pb.DispatcherServer.
func (d *dispatcher) SubmitTasks(ctx context.Context, req *pb.SubmitTasksRequest) (*pb.SubmitTasksResponse, error) {
	if len(req.Tasks) != 1 || req.Wait == nil {
		return nil, status.Error(codes.Unimplemented, "tasks: must be one that is waited for")
	}
	ended := make(chan *pb.Task, 1)
	d.submit(ctx, req.Tasks, func([]*task) {}, func(t *pb.Task) { ended <- t })
	select {
	case t := <-ended:
		return &pb.SubmitTasksResponse{Results: []*pb.SubmitResult{{Id: t.Id, Task: t}}}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// RunTasks implements pb.DispatcherServer.
func (d *dispatcher) RunTasks(stream pb.Dispatcher_RunTasksServer) error {
	out, over := newOutbox[pb.RunTasksResponse](), make(chan struct{})
	var open atomic.Int64 // tasks that have not ended, and the client while it may send more
	open.Add(1)
	less := func() {
		if open.Add(-1) == 0 {
			close(over)
		}
	}
	go func() { // its Recv returns when this function has
		for {
			req, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				less()
			}
			if err != nil {
				return
			}
			specs := make([]*pb.TaskSpec, len(req.Tasks))
			for i, t := range req.Tasks {
				specs[i] = t.Spec
			}
			open.Add(int64(len(specs)))
			d.submit(stream.Context(), specs, func(tasks []*task) {
				out.put(true, func(m *pb.RunTasksResponse) {
					for i, t := range tasks {
						m.Acks = append(m.Acks, &pb.RunAck{Ref: req.Tasks[i].Ref, Result: &pb.SubmitResult{Id: t.id}})
					}
				})
			}, func(t *pb.Task) {
				out.put(true, func(m *pb.RunTasksResponse) { m.Finished = append(m.Finished, t) })
				less()
			})
		}
	}()
	return out.run(stream.Context(), over, stream.Send)
}
