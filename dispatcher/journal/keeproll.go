package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"github.com/hashicorp/raft"
)

// rollInterval is how often a leader looks whether what it says of itself has changed.
const rollInterval = time.Second

// self returns what this node says of itself.
func (j *Journal) self() Replica {
	r := Replica{ID: j.cfg.ID, Service: j.cfg.Service(), Version: j.cfg.Version, Reads: int(j.cfg.newestFormat)}
	if j.directory != nil {
		r.Disk = j.directory.Disk
	}
	return r
}

// greeting returns what this node says to others.
func (j *Journal) greeting() greeting {
	known := j.machine.known()
	return greeting{Replica: j.self(), Cluster: j.clusterName(known), Format: known.Format, Applied: j.machine.applied.Load()}
}

// clusterName returns what the roll says, or the data directory, which knows it before the log is read.
func (j *Journal) clusterName(known roll) string {
	if known.Cluster == "" && j.directory != nil {
		return j.directory.cluster()
	}
	return known.Cluster
}

// writes returns the format that a leader may write: the newest that every member has said it reads, and that of which
// nobody has said anything yet reads the first. It never goes back: who reads less than what was written is not let in.
func (j *Journal) writes() byte {
	known := j.machine.known()
	newest := int(j.cfg.newestFormat)
	for _, m := range j.members() {
		if m.ID != j.cfg.ID {
			newest = min(newest, max(1, known.Replicas[m.ID].Reads))
		}
	}
	return byte(max(newest, known.Format, 1))
}

// raiseFormat begins to write a newer format once all members read it. First the roll says so, in the old one: from then on
// no older program is let in.
func (j *Journal) raiseFormat(s *session) error {
	format := j.writes()
	j.mu.Lock()
	now := s.format
	j.mu.Unlock()
	if format == now {
		return nil
	}
	if err := j.post(notice{Format: int(format)}); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.format = format
	return nil
}

// openingNotice returns what a leader says at the beginning: who it is, and the name of the cluster in case it has none.
func (j *Journal) openingNotice() notice {
	self := j.self()
	n := notice{Replica: &self}
	if known := j.machine.known(); known.Cluster == "" {
		n.Cluster = cmp.Or(j.cfg.Cluster, j.clusterName(known), rand.Text())
	}
	return n
}

// members returns raft's list.
func (j *Journal) members() []Peer {
	r := j.raft.Load()
	if r == nil {
		return j.cfg.Peers
	}
	var all []Peer
	for _, s := range r.GetConfiguration().Configuration().Servers {
		all = append(all, Peer{ID: string(s.ID), Address: string(s.Address)})
	}
	return all
}

// memberAt returns the id of the member with that raft address, "" when there is none.
func (j *Journal) memberAt(address string) string {
	for _, m := range j.members() {
		if m.Address == address {
			return m.ID
		}
	}
	return ""
}

// noticed follows the roll: the data directory belongs to the cluster that it names.
func (j *Journal) noticed(r roll) error {
	if j.directory == nil || r.Cluster == "" {
		return nil
	}
	return j.directory.setCluster(r.Cluster)
}

// post makes a change of the roll durable. Only a leader can.
func (j *Journal) post(n notice) error {
	entry, err := noticeEntry(kindNotice, n)
	if err != nil {
		return err
	}
	return j.raft.Load().ApplyLog(raft.Log{Data: entry}, enqueueTimeout).Error()
}

// keepRoll keeps the roll up to date while this node leads, until ctx ends: what the members say of themselves is known
// to all.
func (j *Journal) keepRoll(ctx context.Context, s *session) {
	ticker := time.NewTicker(rollInterval)
	defer ticker.Stop()
	for {
		err := j.updateRoll()
		if err == nil {
			err = j.raiseFormat(s)
		}
		if err != nil && ctx.Err() == nil {
			j.cfg.Logger.Debug("journal: the roll of the members was not written, will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-j.meetings.wake:
		case <-ticker.C:
			j.meetings.add(j.self())
		}
	}
}

func (j *Journal) updateRoll() error {
	known, members := j.machine.known(), j.members()
	met := j.meetings.take()
	for _, r := range met {
		if !isMember(members, r.ID) || known.Replicas[r.ID] == r {
			continue
		}
		if r.Service == "" { // it did not know, this time
			r.Service = known.Replicas[r.ID].Service
		}
		if err := j.post(notice{Replica: &r}); err != nil {
			for _, r := range met { // the next leadership, or the next try, looks at all of them again
				j.meetings.add(r)
			}
			return err
		}
	}
	return j.correctAddress(members)
}

// correctAddress lets the members know where this leader is, when it was alone before or has moved.
func (j *Journal) correctAddress(members []Peer) error {
	for _, m := range members {
		if m.ID == j.cfg.ID && m.Address != j.cfg.RaftAddress && j.cfg.RaftAddress != "" {
			return j.raft.Load().AddVoter(raft.ServerID(m.ID), raft.ServerAddress(j.cfg.RaftAddress), 0, changeTimeout).Error()
		}
	}
	return nil
}

// Cluster returns the name of the cluster, "" until this node has heard of it.
func (j *Journal) Cluster() string { return j.clusterName(j.machine.known()) }

// LeaderService returns where clients reach the leader, as far as this node knows; "" when it does not.
func (j *Journal) LeaderService() string {
	r := j.raft.Load()
	if r == nil {
		return ""
	}
	_, id := r.LeaderWithID()
	return j.machine.known().Replicas[string(id)].Service
}
