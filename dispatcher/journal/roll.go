package journal

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// Replica is what the cluster knows of one of its nodes besides raft's own list of members.
type Replica struct {
	ID      string `json:"id"`
	Disk    string `json:"disk,omitempty"`    // names its data directory, at random; "" with Config.Stores
	Service string `json:"service,omitempty"` // host:port at which clients reach it; "" when it did not know
	Version string `json:"version,omitempty"` // of its program
	Reads   int    `json:"reads,omitempty"`   // newest format of entries that it reads
}

// roll is the list of replicas and what else the nodes have to agree on about themselves. It is part of the replicated
// state, so that every node can say where the leader's clients go, and knows a node that comes back with another disk.
type roll struct {
	Cluster  string             `json:"cluster"`          // the cluster's name, given by its first leader; never changes
	Format   int                `json:"format,omitempty"` // newest format of entries that was ever written
	Replicas map[string]Replica `json:"replicas"`
}

// notice is a change of the roll. The zero value of a field changes nothing.
type notice struct {
	Cluster string   `json:"cluster,omitempty"`
	Format  int      `json:"format,omitempty"`
	Replica *Replica `json:"replica,omitempty"`
	Forget  string   `json:"forget,omitempty"` // a replica that was removed
}

// with returns the roll with a change.
func (r roll) with(n notice) roll {
	if r.Cluster == "" {
		r.Cluster = n.Cluster
	}
	r.Format = max(r.Format, n.Format)
	r.Replicas = maps.Clone(r.Replicas)
	delete(r.Replicas, n.Forget)
	if n.Replica != nil && !r.foreign(*n.Replica) {
		if r.Replicas == nil {
			r.Replicas = map[string]Replica{}
		}
		r.Replicas[n.Replica.ID] = *n.Replica
	}
	return r
}

// foreign says whether the roll knows another node by this id: one with another disk. A node that lost its disk has
// forgotten for whom it voted and what it acknowledged. It must not come back as if nothing had been.
func (r roll) foreign(x Replica) bool {
	known, ok := r.Replicas[x.ID]
	return ok && known.Disk != "" && x.Disk != "" && known.Disk != x.Disk
}

// noticeEntry returns an entry with a notice. Its format is the first for ever: JSON grows by itself.
func noticeEntry(kind byte, n notice) ([]byte, error) {
	record, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	return appendRecord(newEntryOf(1, entryHeader{kind: kind}, recordSize(len(record))), record), nil
}

// decodeNotice reads the record of a notice.
func decodeNotice(records [][]byte) (notice, error) {
	var n notice
	if len(records) != 1 {
		return n, fmt.Errorf("%w: a notice of %d records", errEntry, len(records))
	}
	if err := json.Unmarshal(records[0], &n); err != nil {
		return n, fmt.Errorf("%w: %w", errEntry, err)
	}
	return n, nil
}

// meetings are the replicas that this node has heard of since the roll was last brought up to date.
type meetings struct {
	wake chan struct{} // holds one

	mu  sync.Mutex
	met map[string]Replica
}

func newMeetings() *meetings {
	return &meetings{wake: make(chan struct{}, 1), met: map[string]Replica{}}
}

// add notes what a node says of itself.
func (m *meetings) add(r Replica) {
	m.mu.Lock()
	if _, again := m.met[r.ID]; again || len(m.met) < maxMembers {
		m.met[r.ID] = r
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take returns what was noted since the last call.
func (m *meetings) take() map[string]Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	met := m.met
	m.met = map[string]Replica{}
	return met
}
