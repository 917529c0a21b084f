package monitoring

import (
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// Report makes the documents of GET /stats and GET /workers from answers that somebody else got, at the time now: the
// command line shows the same without monitoring. Missing names what did not answer.
func Report(now time.Time, d *pb.DispatcherGetStatusResponse, n []*pb.NameServiceGetStatusResponse, missing []string) (Stats, []Worker) {
	r := reading(&Snapshot{Time: now, Dispatcher: d, NameServices: n, Missing: missing})
	workers := JoinWorkers(r)
	return Summarize(r, workers), workers
}
