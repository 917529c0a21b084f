package journal

import (
	"sync"

	"github.com/hashicorp/raft"
)

// begins reports whether this node is to begin a cluster: it has no data, was not told to join one, and its peers have
// none yet. All peers begin the same one, with the same entry.
func (j *Journal) begins() (bool, error) {
	if j.cfg.Join {
		return false, nil
	}
	old, err := raft.HasExistingState(j.guard, j.guard, j.stores.Snapshots)
	if err != nil {
		return false, err
	}
	if old {
		return false, j.unbegin()
	}
	return j.cfg.Transport != nil || !j.clusterRuns(), nil
}

// unbegin takes back a beginning that nobody took part in, when the peers have a cluster without it: this node had lost
// its disk and reached nobody when it started. It keeps its term and its vote, and enters as one that has no data.
func (j *Journal) unbegin() error {
	if j.directory == nil || j.directory.cluster() != "" || len(j.cfg.Peers) == 0 {
		return nil
	}
	last, err := j.guard.LastIndex()
	if err != nil || last != 1 || !j.clusterRuns() {
		return err
	}
	return j.guard.DeleteRange(1, 1)
}

// firstMembers returns the voters of a cluster that begins with this node.
func (j *Journal) firstMembers(transport raft.Transport) raft.Configuration {
	if len(j.cfg.Peers) == 0 {
		return raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(j.cfg.ID), Address: transport.LocalAddr()}}}
	}
	var c raft.Configuration
	for _, p := range j.cfg.Peers {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)})
	}
	return c
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
