package journal

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Settings of raft that are nobody's choice.
const (
	// maxAppendEntries bounds the entries in one message to a follower: entries are up to about 1 MiB each, so that a
	// follower that catches up gets messages of at most 16 MiB.
	maxAppendEntries = 16
	// commitTimeout is how long a follower may wait to hear that an entry is committed when nothing follows it.
	commitTimeout = 20 * time.Millisecond
	// never keeps raft from taking snapshots on its own count of entries: see keepSmall.
	never = 10 * 365 * 24 * time.Hour
	// transportTimeout bounds one message between nodes, and transportPool the idle connections to each.
	transportTimeout = 5 * time.Second
	transportPool    = 3
)

func (j *Journal) raftConfig() *raft.Config {
	return &raft.Config{
		ProtocolVersion:    raft.ProtocolVersionMax,
		LocalID:            raft.ServerID(j.cfg.ID),
		HeartbeatTimeout:   j.cfg.HeartbeatTimeout,
		ElectionTimeout:    j.cfg.ElectionTimeout,
		LeaderLeaseTimeout: j.cfg.HeartbeatTimeout,
		CommitTimeout:      commitTimeout,
		MaxAppendEntries:   maxAppendEntries,
		// An entry is either refused or in the log: none waits in a channel where a shutdown would forget it.
		BatchApplyCh:      false,
		ShutdownOnRemove:  false,
		SnapshotInterval:  never,
		SnapshotThreshold: math.MaxUint64,
		TrailingLogs:      0,
		NotifyCh:          j.changes,
		Logger:            j.logger,
		NoLegacyTelemetry: true,
	}
}

// startRaft restores the newest snapshot and starts raft, which begins the cluster when this is its first node's first
// start.
func (j *Journal) startRaft() error {
	transport, err := j.transport()
	if err != nil {
		return err
	}
	// A goroutine of its own, because that is what a failed write ends: see failStop.SetUint64.
	var starting sync.WaitGroup
	starting.Go(func() { err = j.newRaft(transport) })
	starting.Wait()
	if err == nil && j.raft.Load() != nil {
		return nil
	}
	if c, ok := transport.(raft.WithClose); ok {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(j.Failed(), err)
}

func (j *Journal) newRaft(transport raft.Transport) (err error) {
	// raft panics when it cannot read an entry of its log. Nothing runs yet: it becomes an error.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the log cannot be read; restore the directory from another replica or a backup: %v", p)
		}
	}()
	cfg := j.raftConfig()
	begins, err := j.begins()
	if err != nil {
		return err
	}
	if begins {
		err := raft.BootstrapCluster(cfg, j.guard, j.guard, j.stores.Snapshots, transport, j.firstMembers(transport))
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return fmt.Errorf("begin the cluster: %w", err)
		}
	}
	if j.directory != nil {
		if err := j.directory.setReady(); err != nil {
			return err
		}
	}
	r, err := raft.NewRaft(cfg, j.machine, j.guard, j.guard, j.stores.Snapshots, transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	j.raft.Store(r)
	if n := len(r.GetConfiguration().Configuration().Servers); n > 1 && j.cfg.RaftAddress == "" && j.cfg.Transport == nil {
		return errors.Join(setupError("raft-address: %q: is required: the data directory %s is that of one of %d dispatchers", "", j.cfg.Directory, n), r.Shutdown().Error())
	}
	return nil
}

// transport returns what carries raft's messages: TCP when there is an address for it, else nothing leaves the process.
func (j *Journal) transport() (raft.Transport, error) {
	if j.cfg.Transport != nil {
		return j.cfg.Transport, nil
	}
	if j.cfg.RaftAddress == "" {
		_, t := raft.NewInmemTransport(raft.ServerAddress(j.cfg.ID))
		return t, nil
	}
	s, err := listen(j.cfg.RaftListen, j.cfg.RaftAddress, j.cfg.Secure)
	if err != nil {
		return nil, fmt.Errorf("raft address: %w", err)
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  &greeter{s, j},
		MaxPool: transportPool,
		Timeout: transportTimeout,
		Logger:  j.logger,
	}), nil
}
