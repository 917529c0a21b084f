//go:build unix

package grid

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Cluster is several dispatchers that replicate one journal, d1 and so on.
type Cluster struct {
	g        *Grid
	Peers    string     // what --peers says
	Replicas []*Replica // in the order of their ids
}

// Replica is one dispatcher of a cluster.
type Replica struct {
	*Process
	ID      string
	Address string // of its Dispatcher service
	Raft    string // of its raft port
	Data    string // its directory
}

// Dispatchers starts n dispatchers as one cluster.
func (g *Grid) Dispatchers(n int, flags ...string) *Cluster {
	g.t.Helper()
	ports := FreePorts(g.t, 2*n)
	c := NewCluster(g)
	var peers []string
	for i := range n {
		id := fmt.Sprint("d", i+1)
		c.Replicas = append(c.Replicas, &Replica{ID: id, Address: ports[i], Raft: ports[n+i], Data: filepath.Join(g.dir, id)})
		peers = append(peers, id+"="+ports[n+i])
	}
	c.Peers = strings.Join(peers, ",")
	for _, r := range c.Replicas {
		r.Process = g.Start(r.ID, append(r.with(g, "--peers", c.Peers), flags...)...)
	}
	return c
}

// NewCluster returns a cluster of none, for dispatchers that join what runs already.
func NewCluster(g *Grid) *Cluster { return &Cluster{g: g} }

// with returns the arguments of the replica's process.
func (r *Replica) with(g *Grid, flags ...string) []string {
	return append([]string{"dispatcher", "--id", r.ID, "--listen", r.Address, "--nameservice", g.NS,
		"--raft-address", r.Raft, "--data", r.Data}, flags...)
}

// Join starts one more dispatcher, which enters the cluster.
func (c *Cluster) Join(id string, flags ...string) *Replica {
	c.g.t.Helper()
	ports := FreePorts(c.g.t, 2)
	r := &Replica{ID: id, Address: ports[0], Raft: ports[1], Data: filepath.Join(c.g.dir, id)}
	r.Process = c.g.Start(id, append(r.with(c.g, "--join"), flags...)...)
	c.Replicas = append(c.Replicas, r)
	return r
}

// Status returns what a replica says of itself.
func (r *Replica) Status(ctx context.Context) (*pb.DispatcherGetStatusResponse, error) {
	conn, err := rpc.Dial("passthrough:///"+r.Address, "test")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pb.NewDispatcherClient(conn).GetStatus(ctx, &pb.DispatcherGetStatusRequest{})
}

// Leader waits until a living replica leads, and the others that live know it, and returns it.
func (c *Cluster) Leader() *Replica {
	c.g.t.Helper()
	var leader *Replica
	c.g.Eventually("a dispatcher leads", func(ctx context.Context) error {
		leader = nil
		var known []string
		for _, r := range c.Replicas {
			if r.Gone() {
				continue
			}
			st, err := r.Status(ctx)
			if err != nil {
				return err
			}
			known = append(known, st.Raft.Leader)
			if st.Raft.State == "leader" {
				leader = r
			}
		}
		if leader == nil {
			return errors.New("nobody leads")
		}
		for _, id := range known {
			if id != leader.ID {
				return fmt.Errorf("%s leads, and one knows of %q", leader.ID, id)
			}
		}
		return nil
	})
	return leader
}

// Followers returns the living replicas that do not lead.
func (c *Cluster) Followers() []*Replica {
	c.g.t.Helper()
	leader := c.Leader()
	var others []*Replica
	for _, r := range c.Replicas {
		if r != leader && !r.Gone() {
			others = append(others, r)
		}
	}
	return others
}
