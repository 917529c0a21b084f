package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
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
// up and counts, or when ctx ends; then it may be called again. Already: it did so before, at that address.
// Disk is the node's own word for its data directory, "" when the caller does not know it. Only a leader can. Errors:
// ErrNotLeader, ErrMember, ctx's.
func (j *Journal) AddMember(ctx context.Context, p Peer, disk string) (already bool, err error) {
	if err := CheckID(p.ID); err != nil {
		return false, memberError("%w", err)
	}
	if err := CheckAddress("raft-address", p.Address); err != nil {
		return false, memberError("%w", err)
	}
	known, returns := j.machine.known(), false
	for _, m := range j.Status().Peers {
		switch {
		case m.ID == p.ID && known.foreign(Replica{ID: p.ID, Disk: disk}):
			return false, memberError("id: %q: is a member with another data directory; if its disk was lost, say so first: taskgrid raft remove %s", p.ID, p.ID)
		case m.ID == p.ID && m.Address == p.Address && m.Voter:
			return true, nil
		case m.ID != p.ID && m.Address == p.Address:
			return false, memberError("raft-address: %q: is that of %s", p.Address, m.ID)
		}
		returns = returns || m.ID == p.ID
	}
	if j.cfg.RaftAddress == "" {
		return false, memberError("this dispatcher, %s, has no raft port: start it with --raft-address", j.cfg.ID)
	}
	if _, err := j.ask(p); err != nil {
		return false, memberError("raft-address: %q: %w", p.Address, err)
	}
	if _, listed := known.Replicas[p.ID]; listed && !returns { // it was removed, and nobody was left to forget its disk
		if err := j.post(notice{Forget: p.ID}); err != nil {
			return false, changeError(err)
		}
	}
	return false, j.enter(ctx, p)
}

// enter adds a node that receives everything and does not count, and lets it count when it has caught up: a cluster
// that waited for an empty node to catch up would stand still meanwhile.
func (j *Journal) enter(ctx context.Context, p Peer) error {
	r := j.raft.Load()
	j.expectCompany()
	if err := r.AddNonvoter(raft.ServerID(p.ID), raft.ServerAddress(p.Address), 0, changeTimeout).Error(); err != nil {
		return changeError(err)
	}
	ticker := time.NewTicker(catchUpInterval)
	defer ticker.Stop()
	for {
		other, err := j.ask(p)
		if err == nil && other.Applied+catchUpLag >= r.CommitIndex() && other.Cluster != "" {
			return j.promote(p)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// promote lets a member count that was added at this address. If it was removed in the meantime, it is not added again.
func (j *Journal) promote(p Peer) error {
	r := j.raft.Load()
	for {
		now := r.GetConfiguration()
		if !holds(now.Configuration(), p) {
			return memberError("id: %q: was removed, or has moved, while it caught up", p.ID)
		}
		err := r.AddVoter(raft.ServerID(p.ID), raft.ServerAddress(p.Address), now.Index(), changeTimeout).Error()
		if err == nil || r.GetConfiguration().Index() == now.Index() {
			return changeError(err)
		}
		if r.State() != raft.Leader {
			return ErrNotLeader // another may have let it count: who asks again is told
		}
	}
}

// holds says whether a node is among the servers, at its address.
func holds(c raft.Configuration, p Peer) bool {
	for _, s := range c.Servers {
		if string(s.ID) == p.ID && string(s.Address) == p.Address {
			return true
		}
	}
	return false
}

// RemoveMember takes a node out of the cluster; it may be lost, or the leader itself. If it comes back with its disk
// lost, it may be added anew. Errors: ErrNotLeader, ErrMember.
func (j *Journal) RemoveMember(id string) error {
	_, listed := j.machine.known().Replicas[id]
	switch members := j.members(); {
	case !isMember(members, id) && !listed:
		return memberError("id: %.80q: is no member; the members are %s", id, FormatPeers(members))
	case j.onlyVoter() == id:
		return memberError("id: %.80q: is the only member that counts: without it there is no cluster; end its process instead", id)
	}
	// In this order: whose disk is forgotten while it counts could come back with another one and vote a second time.
	if err := j.raft.Load().RemoveServer(raft.ServerID(id), 0, changeTimeout).Error(); err != nil {
		return changeError(err)
	}
	if id != j.cfg.ID {
		// What was asked for is done. If the leadership ends at this moment, AddMember forgets the disk when it matters.
		_ = j.post(notice{Forget: id})
	}
	return nil
}

// onlyVoter returns the member that counts if there is one only, else "".
func (j *Journal) onlyVoter() (id string) {
	for _, m := range j.Status().Peers {
		if m.Voter && id != "" {
			return ""
		}
		if m.Voter {
			id = m.ID
		}
	}
	return id
}

// Transfer hands leadership over, to the member with that id or, with "", to whichever has the most of the log. It
// returns when another leads, or with an error. Errors: ErrNotLeader, ErrMember.
func (j *Journal) Transfer(id string) error {
	r := j.raft.Load()
	if r == nil {
		return ErrNotLeader
	}
	if j.onlyVoter() != "" {
		return memberError("id: %.80q: this dispatcher, %s, is the only member that counts: there is nobody to hand over to", id, j.cfg.ID)
	}
	if id == "" {
		return transferError("any other member", r.LeadershipTransfer().Error())
	}
	for _, m := range j.Status().Peers {
		switch {
		case m.ID != id:
		case id == j.cfg.ID:
			return memberError("id: %q: leads already", id)
		case !m.Voter:
			return memberError("id: %q: is catching up and cannot lead yet", id)
		default:
			return transferError(id, r.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(m.Address)).Error())
		}
	}
	return memberError("id: %.80q: is no member; the members are %s", id, FormatPeers(j.members()))
}

// transferError translates what raft says to a hand-over: that is about its own channels and servers, for who knows its
// code.
func transferError(to string, err error) error {
	if err == nil || errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrRaftShutdown) {
		return changeError(err)
	}
	return memberError("%s did not take over in time, and leadership stays here; taskgrid raft list shows who is up and how far", to)
}

// changeError translates what raft says to a change of the members.
func changeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, raft.ErrAbortedByRestore):
		return ErrUnknown
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return memberError("another change is under way; nothing was changed; try again")
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
