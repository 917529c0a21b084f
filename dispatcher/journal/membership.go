package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rollInterval is how often a leader looks whether what it says of itself has changed.
	rollInterval = time.Second
	// changeTimeout bounds how long raft may take to begin a change of the members.
	changeTimeout = 5 * time.Second
	// catchUpInterval is how often a new member is asked how far it is, and catchUpLag how many entries behind it may be
	// when it begins to count: raft sends it as many in a few messages.
	catchUpInterval = 100 * time.Millisecond
	catchUpLag      = 64
)

// ErrMember is in the chain of an error that says why the members cannot be changed as asked.
var ErrMember = errors.New("cannot change the members")

func memberError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMember, fmt.Errorf(format, args...))
}

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

// Entered reports whether this node is a member that counts, with the address that it has now, as far as it knows. One
// that is being added and does not count yet is not: the leader that adds it may be lost before it has done so.
func (j *Journal) Entered() bool {
	r := j.raft.Load()
	if r == nil {
		return false
	}
	for _, m := range r.GetConfiguration().Configuration().Servers {
		if string(m.ID) == j.cfg.ID {
			return m.Suffrage == raft.Voter && (string(m.Address) == j.cfg.RaftAddress || j.cfg.RaftAddress == "")
		}
	}
	return false
}

// Self returns how this node is to be added to a cluster: who it is, and which data directory it has.
func (j *Journal) Self() (p Peer, disk string) {
	return Peer{ID: j.cfg.ID, Address: j.cfg.RaftAddress}, j.self().Disk
}

// AddMember makes a node that runs a member, or tells the members that it has moved. It returns when the node has caught
// up and counts, or when ctx ends; then it may be called again. Disk is the node's own word for its data directory, ""
// when the caller does not know it. Only a leader can. Errors: ErrNotLeader, ErrMember, ctx's.
func (j *Journal) AddMember(ctx context.Context, p Peer, disk string) error {
	if err := CheckID(p.ID); err != nil {
		return memberError("%w", err)
	}
	if err := CheckAddress("raft-address", p.Address); err != nil {
		return memberError("%w", err)
	}
	known := j.machine.known()
	for _, m := range j.Status().Peers {
		switch {
		case m.ID == p.ID && known.foreign(Replica{ID: p.ID, Disk: disk}):
			return memberError("id: %q: is a member with another data directory; if its disk was lost, say so first: taskgrid raft remove %s", p.ID, p.ID)
		case m.ID == p.ID && m.Address == p.Address && m.Voter:
			return nil
		case m.ID != p.ID && m.Address == p.Address:
			return memberError("raft-address: %q: is that of %s", p.Address, m.ID)
		}
	}
	if j.cfg.RaftAddress == "" {
		return memberError("this dispatcher, %s, has no raft port: start it with --raft-address", j.cfg.ID)
	}
	if _, err := j.ask(p); err != nil {
		return memberError("raft-address: %q: %w", p.Address, err)
	}
	return j.enter(ctx, p)
}

// enter adds a node that receives everything and does not count, and lets it count when it has caught up: a cluster
// that waited for an empty node to catch up would stand still meanwhile.
func (j *Journal) enter(ctx context.Context, p Peer) error {
	r := j.raft.Load()
	id, address := raft.ServerID(p.ID), raft.ServerAddress(p.Address)
	j.expectCompany()
	if err := r.AddNonvoter(id, address, 0, changeTimeout).Error(); err != nil {
		return changeError(err)
	}
	ticker := time.NewTicker(catchUpInterval)
	defer ticker.Stop()
	for {
		other, err := j.ask(p)
		if err == nil && other.Applied+catchUpLag >= r.CommitIndex() && other.Cluster != "" {
			return changeError(r.AddVoter(id, address, 0, changeTimeout).Error())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// RemoveMember takes a node out of the cluster; it may be lost, or the leader itself. If it comes back with its disk
// lost, it may be added anew. Errors: ErrNotLeader, ErrMember.
func (j *Journal) RemoveMember(id string) error {
	_, listed := j.machine.known().Replicas[id]
	if !isMember(j.members(), id) && !listed {
		return memberError("id: %.80q: is no member; the members are %s", id, FormatPeers(j.members()))
	}
	if err := j.post(notice{Forget: id}); err != nil {
		return changeError(err)
	}
	if err := j.raft.Load().RemoveServer(raft.ServerID(id), 0, changeTimeout).Error(); err != nil {
		return changeError(err)
	}
	if id != j.cfg.ID { // it may have greeted meanwhile
		return changeError(j.post(notice{Forget: id}))
	}
	return nil
}

// Transfer hands leadership over, to the member with that id or, with "", to whichever has the most of the log. It
// returns when another leads, or with an error. Errors: ErrNotLeader, ErrMember.
func (j *Journal) Transfer(id string) error {
	r := j.raft.Load()
	if r == nil {
		return ErrNotLeader
	}
	if id == "" {
		return changeError(r.LeadershipTransfer().Error())
	}
	for _, m := range j.members() {
		if m.ID == id {
			return changeError(r.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(m.Address)).Error())
		}
	}
	return memberError("id: %.80q: is no member; the members are %s", id, FormatPeers(j.members()))
}

// changeError translates what raft says to a change.
func changeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, raft.ErrAbortedByRestore):
		return ErrUnknown
	}
	return memberError("%w", err)
}

// ask greets a node on a connection of its own.
func (j *Journal) ask(p Peer) (greeting, error) {
	c, err := dialRaft(p.Address, greetingTimeout, j.cfg.Secure)
	if err != nil {
		return greeting{}, err
	}
	defer c.Close()
	return j.greet(c, p.ID)
}

// clusterRuns asks the peers of a node without data whether they have a cluster already. Then there is none to begin.
func (j *Journal) clusterRuns() bool {
	var mu sync.Mutex
	var asking sync.WaitGroup
	runs := false
	for _, p := range j.cfg.Peers {
		if p.ID == j.cfg.ID {
			continue
		}
		asking.Go(func() {
			other, _ := j.ask(p) // one that refuses has told its cluster all the same
			mu.Lock()
			defer mu.Unlock()
			runs = runs || other.Cluster != ""
		})
	}
	asking.Wait()
	return runs
}
