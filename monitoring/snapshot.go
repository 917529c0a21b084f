package monitoring

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// Snapshot is what all sources said last, at one moment. It never changes, so that any number of readers share it.
type Snapshot struct {
	// Time is when the last answer, or failure, came in. Uptime is how long the collector had run by then.
	Time   time.Time
	Uptime time.Duration
	// Dispatcher is the last answer of the dispatcher, nil while it never answered. NameServices has the answers of
	// those that answered when they were last asked; while none does, those of the last time that one did.
	Dispatcher   *pb.DispatcherGetStatusResponse
	NameServices []*pb.NameServiceGetStatusResponse
	// DispatcherUp and NameServiceUp tell whether the dispatcher, and at least one name service, answered when last asked.
	DispatcherUp, NameServiceUp bool
	// Missing names each source that did not answer when it was last asked, and why. Before the first answers, all.
	Missing []string
	// Stats and Workers are the documents of GET /stats and GET /workers, made of the above.
	Stats   Stats
	Workers []Worker

	replaced chan struct{}
}

// Replaced is closed when there is a newer snapshot.
func (s *Snapshot) Replaced() <-chan struct{} { return s.replaced }

// proto returns the snapshot as GetStats gives it. Where there are several name services, it carries the first one's
// answer, with the workers of all.
func (s *Snapshot) proto() *pb.Stats {
	stats := &pb.Stats{
		Time:       timestamppb.New(s.Time),
		Uptime:     durationpb.New(s.Uptime),
		Dispatcher: s.Dispatcher,
		Missing:    s.Missing,
	}
	if len(s.NameServices) > 0 {
		stats.Nameservice = joinStatus(s.NameServices)
	}
	return stats
}
