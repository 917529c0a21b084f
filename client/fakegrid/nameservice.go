package fakegrid

import (
	"context"
	"slices"
	"strings"
	"sync"

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
}

// Forget forgets all instances.
func (n *NameService) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.instances)
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
	return &pb.AnnounceServiceResponse{}, nil
}

// LookupService implements the contract.
func (n *NameService) LookupService(_ context.Context, req *pb.LookupServiceRequest) (*pb.LookupServiceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	resp := &pb.LookupServiceResponse{}
	for key, instance := range n.instances {
		if strings.HasPrefix(key, req.Service+"/") {
			resp.Instances = append(resp.Instances, instance)
		}
	}
	slices.SortFunc(resp.Instances, func(a, b *pb.ServiceInstance) int { return int(b.Term) - int(a.Term) })
	return resp, nil
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
