package monitoring

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// Bounds of WatchStatsRequest.interval.
const (
	minWatchInterval     = 100 * time.Millisecond
	maxWatchInterval     = time.Hour
	defaultWatchInterval = time.Second
)

// Server is the gRPC face of monitoring.
type Server struct {
	pb.UnimplementedMonitoringServer
	collector *Collector
}

// NewServer returns a server that answers from what the collector has.
func NewServer(c *Collector) *Server { return &Server{collector: c} }

// GetStats answers with the newest snapshot.
func (s *Server) GetStats(context.Context, *pb.GetStatsRequest) (*pb.GetStatsResponse, error) {
	return &pb.GetStatsResponse{Stats: s.collector.Latest().proto()}, nil
}

// WatchStats sends the newest snapshot and then each that says something else, with at least the interval between two.
func (s *Server) WatchStats(req *pb.WatchStatsRequest, stream pb.Monitoring_WatchStatsServer) error {
	interval := defaultWatchInterval
	if req.GetInterval() != nil {
		interval = req.GetInterval().AsDuration()
	}
	if interval < minWatchInterval || interval > maxWatchInterval {
		return status.Errorf(codes.InvalidArgument, "interval: %s: must be from %s to %s", interval, minWatchInterval, maxWatchInterval)
	}
	var sent *pb.Stats
	for {
		latest := s.collector.Latest()
		if stats := latest.proto(); sent == nil || differs(stats, sent) {
			if err := stream.Send(&pb.WatchStatsResponse{Stats: stats}); err != nil {
				return err
			}
			sent = stats
			if err := await(stream.Context(), s.collector, time.After(interval)); err != nil {
				return err
			}
		}
		if err := await(stream.Context(), s.collector, latest.Replaced()); err != nil {
			return err
		}
	}
}

// differs tells whether two statistics differ in more than the time that passed between them.
func differs(a, b *pb.Stats) bool {
	return !proto.Equal(timeless(a), timeless(b))
}

func timeless(s *pb.Stats) *pb.Stats {
	t := &pb.Stats{Missing: s.GetMissing()}
	if s.GetDispatcher() != nil {
		t.Dispatcher = proto.CloneOf(s.GetDispatcher())
		t.Dispatcher.Uptime = nil
	}
	if s.GetNameservice() != nil {
		t.Nameservice = proto.CloneOf(s.GetNameservice())
		t.Nameservice.Uptime = nil
	}
	return t
}

// await returns nil when ready is, and the status to end the stream with when the caller or the collector ends first.
func await[T any](ctx context.Context, c *Collector, ready <-chan T) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-c.Done():
		return status.Error(codes.Unavailable, "monitoring is stopping")
	}
}
