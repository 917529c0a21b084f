package journal

import (
	"context"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// Status says how the journal is.
type Status struct {
	ID            string // Config.ID
	Cluster       string // the cluster's name; "" until this node has heard of it
	State         string // "leader", "follower", "candidate", or "stopped"
	Leading       bool   // Propose takes records
	Term          uint64
	LeaderID      string // "" when there is none, as far as this node knows
	LeaderAddress string // raft's address of it, not the dispatcher's
	Peers         []Member

	LastIndex     uint64 // newest entry in the log
	CommitIndex   uint64 // newest entry that is on a majority of disks
	AppliedIndex  uint64 // newest entry with records that the state machine has seen
	SnapshotIndex uint64 // newest entry that the newest snapshot covers; 0 without one

	LastContact time.Time // when this node last heard from the leader, or led itself; zero: it has not since it started

	PendingBytes  int64 // proposed and not yet with raft
	AppendedBytes int64 // written to the log since the start
	SnapshotBytes int64 // size of the newest snapshot
}

// Member is a node of the cluster.
type Member struct {
	Peer
	Voter   bool // false: it receives everything and does not count
	Replica Replica
}

// Status returns how the journal is now. The values are read one after another.
func (j *Journal) Status() Status {
	known := j.machine.known()
	s := Status{ID: j.cfg.ID, Cluster: j.clusterName(known), State: "stopped"}
	j.mu.Lock()
	if j.session != nil {
		s.Leading, s.PendingBytes = true, j.session.pending
	}
	j.mu.Unlock()
	s.AppendedBytes, s.SnapshotBytes = j.growth.totals()
	r := j.raft.Load()
	if r == nil {
		return s
	}
	s.State = states[r.State()]
	s.Term = r.CurrentTerm()
	address, id := r.LeaderWithID()
	s.LeaderID, s.LeaderAddress = string(id), string(address)
	for _, m := range r.GetConfiguration().Configuration().Servers {
		s.Peers = append(s.Peers, Member{
			Peer:  Peer{ID: string(m.ID), Address: string(m.Address)},
			Voter: m.Suffrage == raft.Voter, Replica: known.Replicas[string(m.ID)],
		})
	}
	s.LastIndex, s.CommitIndex, s.AppliedIndex = r.LastIndex(), r.CommitIndex(), j.machine.applied.Load()
	if s.LastContact = r.LastContact(); r.State() == raft.Leader {
		s.LastContact = time.Now()
	}
	s.SnapshotIndex, _ = strconv.ParseUint(r.Stats()["last_snapshot_index"], 10, 64)
	return s
}

var states = map[raft.RaftState]string{
	raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader", raft.Shutdown: "stopped",
}

// Follows tells whether another node leads, as far as this one knows.
func (j *Journal) Follows() bool {
	r := j.raft.Load()
	if r == nil {
		return false
	}
	_, id := r.LeaderWithID()
	return id != "" && string(id) != j.cfg.ID
}

// VerifyLeader returns nil when this node led at a moment after the call began: what its state machine shows then is
// no older than anything that was acknowledged anywhere before the call. Else it returns ErrNotLeader, or the error of
// ctx. A cluster of one knows at once; in a larger one an entry is committed, which calls at the same time share.
//
// raft's own VerifyLeader would do with a heartbeat, but takes the answer to one that was sent before the question. In
// a leader that was stopped for a while and has been replaced, such an answer may still wait in a socket.
func (j *Journal) VerifyLeader(ctx context.Context) error {
	verified := make(chan error, 1)
	j.Verify(func(err error) { verified <- err })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-verified:
		return err
	}
}

// Verify is VerifyLeader for a caller who does not wait: it calls done once, perhaps before it returns.
func (j *Journal) Verify(done func(error)) {
	j.mu.Lock()
	leading := j.session != nil
	j.mu.Unlock()
	switch {
	case !leading:
		done(ErrNotLeader)
	case j.alone():
		done(nil) // nobody else can lead
	default:
		if err := j.Propose(nil, func(_ []any, err error) {
			if err != nil {
				err = ErrNotLeader
			}
			done(err)
		}); err != nil {
			done(err)
		}
	}
}

// alone reports whether this node is the only voter.
func (j *Journal) alone() bool {
	voters, self := 0, false
	for _, m := range j.raft.Load().GetConfiguration().Configuration().Servers {
		if m.Suffrage == raft.Voter {
			voters++
			self = self || string(m.ID) == j.cfg.ID
		}
	}
	return voters == 1 && self
}
