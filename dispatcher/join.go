package dispatcher

import (
	"context"
	"time"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// joinPause is the pause between two attempts to enter a cluster, and joinTimeout bounds one: by then the state of a
	// cluster is sent, or the next attempt goes on with what was sent.
	joinPause   = time.Second
	joinTimeout = 10 * time.Minute
)

// keepMembership lets this replica take part, and says so when it was taken out again.
func (d *Dispatcher) keepMembership(ctx context.Context) error {
	if err := d.enterCluster(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(joinPause)
	defer ticker.Stop()
	for was := d.journal.Entered(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		is := d.journal.Entered()
		if was && !is {
			d.log.Warn("this dispatcher was removed from the cluster and takes no part any more; end it, or start it again with --join to let it enter anew")
		}
		was = is
	}
}

// enterCluster asks the leader to let this replica take part, until it does. One that begins a cluster, or that the
// cluster knows already, has nothing to ask for.
func (d *Dispatcher) enterCluster(ctx context.Context) error {
	self, disk := d.journal.Self()
	if self.Address == "" {
		return nil
	}
	var leader pb.RaftServiceClient
	said := ""
	for first := true; ; first = false {
		// One with --peers gives the leader, who knows it, time to send what it missed.
		if !first || !d.cfg.Journal.Join {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(joinPause):
			}
		}
		if d.journal.Entered() {
			return nil
		}
		if leader == nil {
			finder, err := discovery.NewFinder(discovery.Config{NameServices: d.cfg.NameServices, Dispatcher: d.cfg.JoinAt, Sender: self.ID, DialOptions: d.cfg.DialOptions})
			if err != nil {
				return err
			}
			conn, err := finder.Dial()
			if err != nil {
				return err
			}
			defer conn.Close()
			leader = pb.NewRaftServiceClient(conn)
		}
		bounded, cancel := context.WithTimeout(ctx, joinTimeout)
		_, err := leader.AddMember(bounded, &pb.AddMemberRequest{Id: self.ID, RaftAddress: self.Address, Disk: disk})
		cancel()
		switch {
		case err == nil:
			d.log.Info("this dispatcher is a member of the cluster", "raft_address", self.Address)
			return nil
		case ctx.Err() == nil && discovery.Reason(err) != said:
			said = discovery.Reason(err)
			d.log.Warn("not a member of the cluster yet; still trying", "error", said)
		}
	}
}
