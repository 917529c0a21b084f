package fakegrid

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "taskgrid/proto/taskgrid/v1"
)

// NameService is a name service that knows services and which workers drain. An announcement stays until Forget. Its
// methods may be called concurrently.
type NameService struct {
	pb.UnimplementedNameServiceServer

	mu        sync.Mutex
	instances map[string]*pb.ServiceInstance // by service and instance
	draining  map[string]bool                // by worker; a worker that is not here does not exist
	announced int
	lookups   int
	changed   chan struct{} // closed at the next change of instances; nil: nobody watches
	old       bool
}

// NewNameService returns a name service that knows these workers.
func NewNameService(workers ...string) *NameService {
	n := &NameService{instances: map[string]*pb.ServiceInstance{}, draining: map[string]bool{}}
	for _, w := range workers {
		n.draining[w] = false
	}
	return n
}

// Announce enters an instance of the dispatcher.
func (n *NameService) Announce(instance, address string, term uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.instances["dispatcher/"+instance] = &pb.ServiceInstance{InstanceId: instance, Address: address, Term: term}
	n.tell()
}

// Old makes it a name service of a version that knows no WatchService, from the next call on.
func (n *NameService) Old() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.old = true
}

// tell wakes those who watch. It is called under the lock.
func (n *NameService) tell() {
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// Forget forgets all instances.
func (n *NameService) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.instances)
	n.tell()
}

// Announced returns how many announcements came.
func (n *NameService) Announced() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.announced
}

// Lookups returns how many lookups of a service came.
func (n *NameService) Lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lookups
}

// Draining returns the mark of a worker.
func (n *NameService) Draining(worker string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draining[worker]
}

// AnnounceService implements the contract.
func (n *NameService) AnnounceService(_ context.Context, req *pb.AnnounceServiceRequest) (*pb.AnnounceServiceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.announced++
	n.instances[req.Service+"/"+req.InstanceId] = &pb.ServiceInstance{InstanceId: req.InstanceId, Address: req.Address, Term: req.Term}
	n.tell()
	return &pb.AnnounceServiceResponse{}, nil
}

// LookupService implements the contract.
func (n *NameService) LookupService(_ context.Context, req *pb.LookupServiceRequest) (*pb.LookupServiceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	return &pb.LookupServiceResponse{Instances: n.list(req.Service)}, nil
}

// list returns the instances of a service, the highest term first. It is called under the lock.
func (n *NameService) list(service string) (found []*pb.ServiceInstance) {
	for key, instance := range n.instances {
		if strings.HasPrefix(key, service+"/") {
			found = append(found, instance)
		}
	}
	slices.SortFunc(found, func(a, b *pb.ServiceInstance) int { return int(b.Term) - int(a.Term) })
	return found
}

// WatchService implements the contract.
func (n *NameService) WatchService(req *pb.WatchServiceRequest, stream grpc.ServerStreamingServer[pb.WatchServiceResponse]) error {
	for {
		n.mu.Lock()
		if n.old {
			n.mu.Unlock()
			return status.Error(codes.Unimplemented, "unknown method WatchService")
		}
		found := n.list(req.Service)
		if n.changed == nil {
			n.changed = make(chan struct{})
		}
		changed := n.changed
		n.mu.Unlock()
		if err := stream.Send(&pb.WatchServiceResponse{Instances: found}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// SetDraining implements the contract.
func (n *NameService) SetDraining(_ context.Context, req *pb.SetDrainingRequest) (*pb.SetDrainingResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.draining[req.WorkerId]; !ok {
		return nil, status.Errorf(codes.NotFound, "worker_id: %q: no such worker", req.WorkerId)
	}
	n.draining[req.WorkerId] = req.Draining
	return &pb.SetDrainingResponse{}, nil
}
