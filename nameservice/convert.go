package nameservice

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// toStatus is the one place that chooses the code of an answer.
func toStatus(err error) error {
	switch {
	case errors.Is(err, ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, ErrUnknownLease), errors.Is(err, ErrUnknownWorker):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, ErrFull), errors.Is(err, errTooSlow):
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, errStopping):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, "internal error")
}

// states translates a State.
var states = [...]pb.WorkerState{
	Active:    pb.WorkerState_WORKER_STATE_ACTIVE,
	Draining:  pb.WorkerState_WORKER_STATE_DRAINING,
	Unhealthy: pb.WorkerState_WORKER_STATE_UNHEALTHY,
	Offline:   pb.WorkerState_WORKER_STATE_OFFLINE,
}

func toState(s State) pb.WorkerState { return states[s] }

func fromRegister(req *pb.RegisterWorkerRequest) Application {
	return Application{
		Registration: &Registration{
			ID:       req.WorkerId,
			Types:    distinct(req.Types),
			Address:  req.Address,
			Capacity: req.Capacity,
			Labels:   req.Labels,
			Version:  req.Version,
		},
		Lease:    req.LeaseId,
		Draining: req.Draining,
	}
}

// distinct returns the words in their order, each once. More than maxTypes+1 are not looked at: that is too many.
func distinct(words []string) []string {
	seen := map[string]bool{}
	var once []string
	for _, w := range words {
		if len(once) > maxTypes {
			break
		}
		if !seen[w] {
			seen[w] = true
			once = append(once, w)
		}
	}
	return once
}

// checkFilter returns an ErrInvalid unless a lookup or watch may ask for the type; "" asks for all.
func checkFilter(taskType string) error {
	if taskType == "" {
		return nil
	}
	return checkName("type", taskType, maxType, typeCharacters)
}

// wholeWorker is a pb.Worker and what it points to, in one piece of memory.
type wholeWorker struct {
	pb.Worker
	heard, registered timestamppb.Timestamp
}

func toWorkers(workers []Worker) []*pb.Worker {
	all, list := make([]wholeWorker, len(workers)), make([]*pb.Worker, len(workers))
	for i := range workers {
		w, p := &workers[i], &all[i]
		p.WorkerId, p.Types, p.Address, p.Capacity = w.ID, w.Types, w.Address, w.Capacity
		p.Labels, p.State, p.Version, p.LeaseId = w.Labels, toState(w.State), w.Version, w.Lease
		p.Running, p.Load = w.Running, w.Load
		p.LastHeartbeat = setTime(&p.heard, w.LastHeartbeat)
		p.RegisteredTime = setTime(&p.registered, w.Registered)
		list[i] = &p.Worker
	}
	return list
}

// setTime returns to, set to a time.
func setTime(to *timestamppb.Timestamp, t time.Time) *timestamppb.Timestamp {
	to.Seconds, to.Nanos = t.Unix(), int32(t.Nanosecond())
	return to
}

func toInstances(instances []Instance) []*pb.ServiceInstance {
	all := make([]*pb.ServiceInstance, len(instances))
	for i, in := range instances {
		all[i] = &pb.ServiceInstance{InstanceId: in.ID, Address: in.Address, Term: in.Term}
	}
	return all
}
