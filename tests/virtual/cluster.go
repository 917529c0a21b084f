package virtual

import (
	"testing"
	"time"

	"taskgrid/dispatcher"
	"taskgrid/dispatcher/journal"
)

// cluster is three dispatchers in one raft group.
type cluster struct {
	*Grid
	wires    *Wires
	ids      []string // also the addresses on the wires
	replicas []*Dispatcher
}

// startCluster starts a name service and three replicas, and does not wait until one leads. change may change their
// configuration first.
func startCluster(t testing.TB, change ...func(*dispatcher.Config)) *cluster {
	c := &cluster{Grid: New(t), wires: NewWires(), ids: []string{"d1", "d2", "d3"}}
	c.StartNameService()
	var peers []journal.Peer
	for _, id := range c.ids {
		peers = append(peers, journal.Peer{ID: id, Address: id})
	}
	for _, id := range c.ids {
		cfg := dispatcher.DefaultConfig()
		for _, do := range change {
			do(&cfg)
		}
		cfg.Journal.ID, cfg.Journal.Peers, cfg.Journal.Transport = id, peers, c.wires.Plug(id)
		c.replicas = append(c.replicas, c.startDispatcher(cfg, c.address(50052), NewDisk()))
	}
	return c
}

// cut lets the raft of a replica talk to nobody. Its gRPC services are reached as before.
func (c *cluster) cut(i int) {
	for j := range c.ids {
		c.cutBetween(i, j)
		c.cutBetween(j, i)
	}
}

// calm lets a replica wait for longer before it takes a leader for dead, so that one can lead that is slow to take notice of
// the answers to its messages.
func calm(cfg *dispatcher.Config) { cfg.Journal.ElectionTimeout = 500 * time.Millisecond }

// cutBetween cuts one direction.
func (c *cluster) cutBetween(from, to int) {
	if from != to {
		c.wires.Cut(c.ids[from], c.ids[to])
	}
}

// kill ends a replica as kill -9 does.
func (c *cluster) kill(i int) {
	c.wires.Unplug(c.ids[i])
	c.replicas[i].Kill()
}

// restart starts a replica that was killed, on its disk.
func (c *cluster) restart(i int) {
	d := c.replicas[i]
	<-d.Ended()
	cfg := d.cfg
	cfg.Journal.Transport = c.wires.Plug(c.ids[i])
	c.replicas[i] = c.startDispatcher(cfg, d.Address, d.Disk)
}

// leader waits until a replica other than not leads, and returns which.
func (c *cluster) leader(not int) int {
	c.t.Helper()
	for range 1000 {
		for i, d := range c.replicas {
			if _, ok := d.Leading(); ok && i != not {
				return i
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("nobody leads after 10 s")
	return 0
}
