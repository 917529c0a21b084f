package nameservice

import (
	"fmt"
	"slices"

	"google.golang.org/grpc"

	pb "taskgrid/proto/taskgrid/v1"
)

// callers are those who watch a service. They are counted apart from the watchers of workers: whoever may look up may be
// one, and however many they are, they keep no dispatcher from watching. It is guarded by Server.mu.
type callers struct {
	watching int
	version  uint64        // the registry's ServicesVersion when they were last told to look
	told     chan struct{} // closed when they are told to look again
}

// tellCallers tells those who watch a service to look, if one has changed. Unlike changes of workers, these are not
// gathered: they are rare, and everybody waits for them. The caller holds mu.
func (s *Server) tellCallers() {
	if version := s.registry.ServicesVersion(); version != s.callers.version {
		s.callers.version = version
		close(s.callers.told)
		s.callers.told = make(chan struct{})
	}
}

// WatchService implements NameService. Who reads slowly misses what has changed back meanwhile, and nothing else.
func (s *Server) WatchService(req *pb.WatchServiceRequest, stream grpc.ServerStreamingServer[pb.WatchServiceResponse]) error {
	if err := checkName("service", req.Service, maxType, typeCharacters); err != nil {
		return toStatus(err)
	}
	if err := s.enterCaller(); err != nil {
		return toStatus(err)
	}
	defer s.leaveCaller()
	var known []Instance
	for first := true; ; first = false {
		found, told := s.announced(req.Service)
		if first || !slices.Equal(found, known) {
			if err := stream.Send(&pb.WatchServiceResponse{Instances: toInstances(found)}); err != nil {
				return err
			}
		}
		known = found
		select {
		case <-told:
		case <-s.stopped:
			return toStatus(errStopping)
		case <-stream.Context().Done():
			return toStatus(stream.Context().Err())
		}
	}
}

// announced returns the instances of a service, and what is closed when there may be others.
func (s *Server) announced(service string) ([]Instance, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.registry.LookupService(s.now(), service)
	s.tellCallers() // of what has run out by now; so told is later than found
	return found, s.callers.told
}

func (s *Server) enterCaller() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers.watching >= s.opts.MaxWatchers {
		return fmt.Errorf("%w: %d watch a service", ErrFull, s.callers.watching)
	}
	s.callers.watching++
	return nil
}

func (s *Server) leaveCaller() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers.watching--
}
