package nameservice

import (
	"context"
	"errors"

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

func toWorkers(workers []Worker) []*pb.Worker {
	all := make([]*pb.Worker, len(workers))
	for i := range workers {
		all[i] = toWorker(&workers[i])
	}
	return all
}

func toWorker(w *Worker) *pb.Worker {
	return &pb.Worker{
		WorkerId:       w.ID,
		Types:          w.Types,
		Address:        w.Address,
		Capacity:       w.Capacity,
		Labels:         w.Labels,
		State:          toState(w.State),
		LastHeartbeat:  timestamppb.New(w.LastHeartbeat),
		Running:        w.Running,
		LeaseId:        w.Lease,
		Version:        w.Version,
		RegisteredTime: timestamppb.New(w.Registered),
		Load:           w.Load,
	}
}

func toInstances(instances []Instance) []*pb.ServiceInstance {
	all := make([]*pb.ServiceInstance, len(instances))
	for i, in := range instances {
		all[i] = &pb.ServiceInstance{InstanceId: in.ID, Address: in.Address, Term: in.Term}
	}
	return all
}
