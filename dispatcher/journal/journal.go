package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// StateMachine is what the records change.
type StateMachine interface {
	// Apply applies records in order and returns one result per record, or nil when there is nothing to say about
	// any. It must be deterministic: every replica gets the same records. The records are valid until it returns.
	// One goroutine at a time calls Apply, Snapshot and Restore.
	Apply(records [][]byte) []any
	// Snapshot returns a writer of the state as it is now. It must return quickly: WriteTo runs while Apply goes on.
	Snapshot() io.WriterTo
	// Restore replaces the state by one that such a writer has written.
	Restore(r io.Reader) error
}

// Peer is a voting member of the cluster.
type Peer struct {
	ID      string // unique in the cluster, for ever the same
	Address string // host:port of its raft port, as the others reach it
}

// Config says how a journal is kept. Directory and ID are required, everything else has a default.
type Config struct {
	Directory string // where the journal is kept; created when it does not exist; one node's alone
	ID        string // this node's name in the cluster
	Cluster   string // the cluster's name; default: whatever the directory says, a random one at the first start

	// RaftAddress is the host:port at which the other nodes reach this one. Without it there is no port, and the
	// node is a cluster of one.
	RaftAddress string
	// Peers are the voters of a new cluster, this node among them; used at the first start only. Default: this node
	// alone.
	Peers []Peer
	// Join keeps a new node from beginning a cluster: it waits until a member adds it.
	Join bool

	// HeartbeatTimeout and ElectionTimeout are raft's. Defaults: 50 ms without a RaftAddress, because there is nobody
	// to wait for; 500 ms with one, which loses about a second when a leader dies and does not take a busy one for dead.
	HeartbeatTimeout, ElectionTimeout time.Duration

	MaxPendingBytes int64 // how much may wait to be made durable; default 256 MiB
	SnapshotBytes   int64 // the least that is appended between two snapshots; default 64 MiB

	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none

	// Transport and Stores replace the network and the directory, for tests: with Stores nothing is read or locked.
	Transport raft.Transport
	Stores    *Stores

	segmentBytes int // the size of a log file; tests have small ones
}

// Defaults of Config.
const (
	defaultMaxPendingBytes = 256 << 20
	defaultSnapshotBytes   = 64 << 20
	aloneTimeout           = 50 * time.Millisecond
	clusterTimeout         = 500 * time.Millisecond
)

func (c *Config) setDefaults() error {
	if c.ID == "" {
		return errors.New("the node has no id")
	}
	if c.Directory == "" && c.Stores == nil {
		return errors.New("no data directory")
	}
	if err := c.checkPeers(); err != nil {
		return err
	}
	if len(c.Peers) > 1 && c.RaftAddress == "" && c.Transport == nil {
		return errors.New("a node with peers needs a raft address")
	}
	timeout := aloneTimeout
	if c.RaftAddress != "" || c.Transport != nil {
		timeout = clusterTimeout
	}
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = timeout
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = c.HeartbeatTimeout
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = defaultMaxPendingBytes
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = defaultSnapshotBytes
	}
	if c.segmentBytes == 0 {
		c.segmentBytes = segmentBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// checkPeers refuses a cluster in which this node is missing, or two nodes are one.
func (c *Config) checkPeers() error {
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, p := range c.Peers {
		if ids[p.ID] {
			return fmt.Errorf("peer %q is named twice", p.ID)
		}
		if addresses[p.Address] {
			return fmt.Errorf("peer address %s is named twice", p.Address)
		}
		ids[p.ID], addresses[p.Address] = true, true
	}
	if len(c.Peers) > 0 && !ids[c.ID] {
		return fmt.Errorf("the peers do not include this node, %q", c.ID)
	}
	return nil
}

// Journal is a durable, replicated log of records. Its methods may be called by any goroutine.
type Journal struct {
	cfg     Config
	cluster string // the cluster's name
	metrics *metrics
	logger  hclog.Logger // raft's chatter

	directory *directory // nil with Config.Stores
	disk      *diskLog   // nil with Config.Stores
	stores    Stores
	guard     *failStop
	machine   *machine

	raft     atomic.Pointer[raft.Raft] // nil before Run
	changes  chan bool                 // raft's leadership, each change of it
	announce *announcer
	fatal    chan struct{} // closed by fail
	failure  atomic.Pointer[error]

	mu      sync.Mutex
	session *session // nil when this node does not lead

	growth    growth
	closeOnce sync.Once
}

// Open locks the data directory and opens what is in it; Run does everything else. It is refused, in words, when the
// directory is in use by another process, belongs to another node or cluster, is of another format, or has lost
// entries that were acknowledged. A Journal that is not run must be closed.
func Open(cfg Config, sm StateMachine) (_ *Journal, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		cfg:      cfg,
		logger:   newLogger(cfg.Logger, cfg.RaftAddress == "" && cfg.Transport == nil),
		changes:  make(chan bool, 64),
		announce: newAnnouncer(),
		fatal:    make(chan struct{}),
		growth:   growth{due: make(chan any, 1)},
		cluster:  cfg.Cluster,
	}
	j.metrics, err = newMetrics(cfg.Registerer, j)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.machine = &machine{sm: sm, fail: j.fail}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("journal: %w", err), j.Close())
		}
	}()
	if cfg.Stores != nil {
		j.stores = *cfg.Stores
	} else if err := j.openStores(); err != nil {
		return nil, err
	}
	j.guard = &failStop{LogStore: j.stores.Log, StableStore: j.stores.Stable, fail: j.fail, count: j.appended}
	return j, nil
}

// openStores opens the data directory and what is in it.
func (j *Journal) openStores() (err error) {
	j.directory, err = openDirectory(j.cfg.Directory, j.cfg.ID, j.cfg.Cluster)
	if err != nil {
		return err
	}
	j.cluster = j.directory.Cluster
	logs, err := openDiskLog(filepath.Join(j.directory.path, logName), j.cfg.segmentBytes, j.logger)
	if err != nil {
		return err
	}
	j.disk = logs
	snapshots, err := openSnapshots(filepath.Join(j.directory.path, snapshotsName), j.cfg.Logger)
	if err != nil {
		return err
	}
	j.stores = Stores{Log: logs, Stable: logs, Snapshots: snapshots}
	return j.checkEnd()
}

// checkEnd refuses a log that ends before its mark, and notes how much there is to replay.
func (j *Journal) checkEnd() error {
	known, err := j.stores.Snapshots.List()
	if err != nil {
		return err
	}
	first, err := j.disk.FirstIndex()
	if err != nil {
		return err
	}
	last, err := j.disk.LastIndex()
	if err != nil {
		return err
	}
	end := last
	if len(known) > 0 {
		end = max(end, known[0].Index)
		j.setSnapshot(known[0].Size, 0)
	}
	if end < j.disk.mark.index {
		return fmt.Errorf("the log in %s ends at entry %d, but entry %d was written and acknowledged: a log file is damaged; "+
			"restore the directory from another replica or a backup", filepath.Join(j.directory.path, logName), end, j.disk.mark.index)
	}
	if last > 0 {
		j.growth.since = int64(last-first+1)*entryCost + (j.disk.files()-1)*int64(j.cfg.segmentBytes)
	}
	return nil
}

// Close gives the directory to others. Run does it too; only a journal that was never run needs it.
func (j *Journal) Close() error {
	var errs []error
	j.closeOnce.Do(func() {
		if j.disk != nil {
			errs = append(errs, j.disk.Close())
		}
		if j.directory != nil {
			errs = append(errs, j.directory.close())
		}
		j.metrics.unregister()
	})
	return errors.Join(errs...)
}

// fail says that the journal cannot go on. The first reason counts.
func (j *Journal) fail(err error) {
	if j.failure.CompareAndSwap(nil, &err) {
		close(j.fatal)
	}
}

// failed returns why the journal cannot go on, nil when it can.
func (j *Journal) failed() error {
	if err := j.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Run keeps the journal until ctx ends (nil) or it cannot go on, because the disk failed or what is on it cannot be
// read: then nobody knows what the disk holds, nothing more is acknowledged, and the process must stop and start
// again from what is there. Run is called once; when it returns the directory is free.
//
// It ends in this order: no more proposals; what raft already has is waited for; raft; the files; the lock.
func (j *Journal) Run(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, j.Close())
		if err != nil {
			err = fmt.Errorf("journal: %w", err)
		}
	}()
	if err := j.startRaft(); err != nil {
		close(j.announce.out)
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var leading, others sync.WaitGroup
	leading.Go(func() { j.lead(ctx) })
	others.Go(func() { j.announce.run(ctx) })
	others.Go(func() { j.keepSmall(ctx) })
	select {
	case <-ctx.Done():
	case <-j.fatal:
	}
	cancel()
	leading.Wait()
	j.machine.stopping.Store(true)
	err = j.raft.Load().Shutdown().Error()
	others.Wait()
	return errors.Join(j.failed(), err)
}
