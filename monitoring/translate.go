package monitoring

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "taskgrid/proto/taskgrid/v1"
)

// reading translates the answers of a snapshot into the words of the rules.
func reading(s *Snapshot) Reading {
	r := Reading{Time: s.Time, Uptime: s.Uptime, Missing: s.Missing}
	for _, n := range s.NameServices {
		r.NameServices = append(r.NameServices, entries(n))
	}
	if s.Dispatcher != nil {
		r.Dispatcher = dispatcherReading(s.Dispatcher)
	}
	return r
}

func dispatcherReading(d *pb.DispatcherGetStatusResponse) *DispatcherReading {
	raft := d.GetRaft()
	r := &DispatcherReading{
		Stats: DispatcherStats{
			ID: raft.GetId(), State: raft.GetState(), Leader: raft.GetLeader(), Term: raft.GetTerm(),
			Peers:   append([]string{}, raft.GetPeers()...),
			UptimeS: seconds(d.GetUptime().AsDuration()), Version: d.GetVersion(),
			FirstEvent: d.GetFirstEvent(), LastEvent: d.GetLastEvent(), Oddities: maps.Clone(d.GetOddities()),
		},
		Tally: tally(d.GetTasks()),
	}
	if r.Stats.Oddities == nil {
		r.Stats.Oddities = map[string]uint64{}
	}
	for _, t := range d.GetTypes() {
		r.Types = append(r.Types, TypeReading{
			Type: t.GetType(), Tally: tally(t.GetTasks()),
			P50: t.GetP50().AsDuration(), P95: t.GetP95().AsDuration(), P99: t.GetP99().AsDuration(),
		})
	}
	for _, l := range d.GetWorkers() {
		r.Links = append(r.Links, Link{
			Entry: entry(l.GetWorker()), Connected: l.GetConnected(), Breaker: breakerName(l.GetBreaker()),
			Error: l.GetError(), Running: l.GetRunning(), Completed: l.GetCompleted(), Failed: l.GetFailed(),
		})
	}
	return r
}

func tally(c *pb.TaskCounts) Tally {
	return Tally{
		Counts: Counts{
			Submitted: c.GetSubmitted(), Queued: c.GetQueued(), Running: c.GetRunning(), Retrying: c.GetRetrying(),
			Completed: c.GetCompleted(), Failed: c.GetFailed(), Cancelled: c.GetCancelled(), Forgotten: c.GetForgotten(),
		},
		Timeouts: c.GetTimeouts(), Retries: c.GetRetries(), Requeues: c.GetRequeues(), Handovers: c.GetHandovers(),
		CompletedEver: c.GetCompletedTotal(), ProcessingTime: c.GetProcessingTime().AsDuration(),
		QueueTime: c.GetQueueTime().AsDuration(),
	}
}

func entries(n *pb.NameServiceGetStatusResponse) []Entry {
	view := make([]Entry, 0, len(n.GetWorkers()))
	for _, w := range n.GetWorkers() {
		view = append(view, entry(w))
	}
	return view
}

func entry(w *pb.Worker) Entry {
	return Entry{
		WorkerID: w.GetWorkerId(), Lease: w.GetLeaseId(), Address: w.GetAddress(), Version: w.GetVersion(),
		State: strings.TrimPrefix(w.GetState().String(), "WORKER_STATE_"),
		Types: w.GetTypes(), Labels: w.GetLabels(), Capacity: w.GetCapacity(), Running: w.GetRunning(),
		Load: float64(w.GetLoad()), LastHeartbeat: instant(w.GetLastHeartbeat()), RegisteredTime: instant(w.GetRegisteredTime()),
	}
}

// instant returns the zero time for an absent timestamp, which AsTime would make 1970.
func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func breakerName(b pb.BreakerState) string {
	switch b {
	case pb.BreakerState_BREAKER_STATE_CLOSED:
		return "closed"
	case pb.BreakerState_BREAKER_STATE_OPEN:
		return "open"
	case pb.BreakerState_BREAKER_STATE_HALF_OPEN:
		return "half-open"
	}
	return ""
}

// joinStatus returns the first name service's answer; with several, its list of workers is that of all, each worker as
// [joinEntries] has it.
func joinStatus(all []*pb.NameServiceGetStatusResponse) *pb.NameServiceGetStatusResponse {
	first := all[0]
	if len(all) == 1 {
		return first
	}
	views := make([][]Entry, len(all))
	for i, n := range all {
		views[i] = entries(n)
	}
	status := &pb.NameServiceGetStatusResponse{
		Epoch: first.GetEpoch(), Uptime: first.GetUptime(), Settled: first.GetSettled(), Version: first.GetVersion(),
		Registrations: first.GetRegistrations(), Heartbeats: first.GetHeartbeats(),
		UnknownLeases: first.GetUnknownLeases(), Watchers: first.GetWatchers(),
	}
	joined := joinEntries(views)
	for _, id := range slices.Sorted(maps.Keys(joined)) {
		e := joined[id]
		status.Workers = append(status.Workers, &pb.Worker{
			WorkerId: id, Types: e.Types, Address: e.Address, Capacity: e.Capacity, Labels: e.Labels, LeaseId: e.Lease,
			Version: e.Version, RegisteredTime: timestamppb.New(e.RegisteredTime), Running: e.Running, Load: float32(e.Load),
			State:         pb.WorkerState(pb.WorkerState_value["WORKER_STATE_"+e.State]),
			LastHeartbeat: timestamppb.New(e.LastHeartbeat),
		})
	}
	return status
}
