package dispatcher

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	pb "taskgrid/proto/taskgrid/v1"
)

// snapshot is the dispatcher at one moment: all of it is taken under one lock, so that the counts add up.
type snapshot struct {
	types       []core.TypeStats
	workers     []core.WorkerView
	oddities    map[string]uint64
	first, last uint64 // events
	leading     bool
}

func (d *Dispatcher) snapshot() snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := snapshot{types: d.machine.Stats(), first: d.machine.FirstEvent(), last: d.machine.LastEvent(), leading: d.scheduler != nil}
	if d.scheduler != nil {
		s.workers, s.oddities = d.scheduler.Workers(), d.scheduler.Oddities()
	}
	return s
}

// GetStatus implements pb.DispatcherServer. A replica that does not lead answers too, with what it knows, unless the
// caller wants the leader's word: a process that has just started knows nothing, and its counts would fall to 0.
func (s *Server) GetStatus(_ context.Context, req *pb.DispatcherGetStatusRequest) (*pb.DispatcherGetStatusResponse, error) {
	snap := s.d.snapshot()
	if req.LeaderOnly && !snap.leading {
		return nil, s.d.notLeading("this dispatcher does not lead; try again")
	}
	resp := &pb.DispatcherGetStatusResponse{
		Version: s.d.cfg.Version, Uptime: duration(s.d.uptime()), Raft: raftOf(s.d.journal.Status()),
		Tasks:     &pb.TaskCounts{ProcessingTime: duration(0), QueueTime: duration(0)},
		LastEvent: snap.last, FirstEvent: snap.first, Oddities: snap.oddities,
	}
	for i := range snap.types {
		st := &snap.types[i]
		counts := countsOf(st)
		resp.Types = append(resp.Types, &pb.TypeStatus{Type: st.Type, Tasks: counts,
			P50: quantile(st, 0.5), P95: quantile(st, 0.95), P99: quantile(st, 0.99)})
		add(resp.Tasks, counts)
	}
	for i := range snap.workers {
		resp.Workers = append(resp.Workers, linkOf(&snap.workers[i]))
	}
	return resp, nil
}

func raftOf(j journal.Status) *pb.RaftStatus {
	r := &pb.RaftStatus{Id: j.ID, State: j.State, Term: j.Term, Leader: j.LeaderID, CommitIndex: j.CommitIndex, AppliedIndex: j.AppliedIndex, Cluster: j.Cluster}
	for _, p := range j.Peers {
		r.Peers = append(r.Peers, p.ID)
		if p.ID == j.LeaderID {
			r.LeaderAddress = p.Replica.Service
		}
	}
	return r
}

func countsOf(st *core.TypeStats) *pb.TaskCounts {
	return &pb.TaskCounts{
		Submitted: st.Submitted, Queued: st.Queued, Running: st.Running, Retrying: st.Retrying,
		Completed: st.Completed, Failed: st.Failed, Cancelled: st.Cancelled, Forgotten: st.Forgotten,
		Timeouts: st.Timeouts, Retries: st.Retries, Requeues: st.Requeues, Handovers: st.Handovers,
		CompletedTotal: st.CompletedTotal, FailedTotal: st.FailedTotal, CancelledTotal: st.CancelledTotal,
		ProcessingTime: duration(st.ProcessingTime), QueueTime: duration(st.QueueTime),
	}
}

// add adds the counts of one type to those of all.
func add(all, one *pb.TaskCounts) {
	all.Submitted += one.Submitted
	all.Queued += one.Queued
	all.Running += one.Running
	all.Retrying += one.Retrying
	all.Completed += one.Completed
	all.Failed += one.Failed
	all.Cancelled += one.Cancelled
	all.Forgotten += one.Forgotten
	all.Timeouts += one.Timeouts
	all.Retries += one.Retries
	all.Requeues += one.Requeues
	all.Handovers += one.Handovers
	all.CompletedTotal += one.CompletedTotal
	all.FailedTotal += one.FailedTotal
	all.CancelledTotal += one.CancelledTotal
	all.ProcessingTime = duration(all.ProcessingTime.AsDuration() + one.ProcessingTime.AsDuration())
	all.QueueTime = duration(all.QueueTime.AsDuration() + one.QueueTime.AsDuration())
}

func quantile(st *core.TypeStats, q float64) *durationpb.Duration {
	d := st.Latency.Quantile(q)
	if d == 0 && st.CompletedTotal == 0 {
		return nil
	}
	return duration(max(d, time.Microsecond))
}

// linkOf leaves the lease out: it is between worker, name service and dispatcher.
func linkOf(w *core.WorkerView) *pb.WorkerLink {
	return &pb.WorkerLink{
		Worker: &pb.Worker{WorkerId: w.Info.ID, Types: w.Info.Types, Address: w.Info.Address, Capacity: uint32(w.Info.Capacity),
			State: pb.WorkerState(w.Info.State), Running: uint32(w.Running)},
		Connected: w.Connected, Breaker: breakerProto[w.Breaker], Running: uint32(w.Running),
		Completed: w.Completed, Failed: w.Failed, Error: w.LinkError,
	}
}

var breakerProto = map[core.BreakerState]pb.BreakerState{
	core.BreakerClosed:   pb.BreakerState_BREAKER_STATE_CLOSED,
	core.BreakerOpen:     pb.BreakerState_BREAKER_STATE_OPEN,
	core.BreakerHalfOpen: pb.BreakerState_BREAKER_STATE_HALF_OPEN,
}
