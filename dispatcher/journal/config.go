package journal

import (
	"cmp"
	"io"
	"log/slog"
	"time"

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

// Config says how a journal is kept. Directory and ID are required, everything else has a default.
type Config struct {
	Directory string // where the journal is kept; created when it does not exist; one node's alone
	ID        string // this node's name in the cluster
	Cluster   string // the cluster's name; default: whatever the directory says, a random one for a new cluster
	Version   string // of the program, for the others to know

	// Service returns the host:port at which clients reach this node, "" while it is not known. Default: never known.
	Service func() string

	// RaftAddress is the host:port at which the other nodes reach this one; default: what Peers say. Without it there
	// is no port, and the node is a cluster of one.
	RaftAddress string
	// RaftListen is the host:port on which this node waits for the others; default RaftAddress if that is an IP
	// address, its port on all interfaces if it is a name.
	RaftListen string
	// Peers are the voters of a new cluster, this node among them, the same on each of them; used at the first start
	// only. Default: this node alone.
	Peers []Peer
	// Join keeps a new node from beginning a cluster: it waits until a member adds it.
	Join bool

	// Secure puts TLS on the connections between nodes. Default: none.
	Secure *Secure

	// HeartbeatTimeout and ElectionTimeout are raft's. Defaults: each what the other is; 50 ms without a RaftAddress,
	// because there is nobody to wait for; 300 ms with one, which loses about half a second when a leader dies and does
	// not take a busy one for dead.
	HeartbeatTimeout, ElectionTimeout time.Duration

	MaxPendingBytes int64 // how much may wait to be made durable; default 256 MiB
	SnapshotBytes   int64 // the least that is appended between two snapshots; default 64 MiB

	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none

	// Transport and Stores replace the network and the directory, for tests: with Stores nothing is read or locked.
	Transport raft.Transport
	Stores    *Stores

	segmentBytes int  // the size of a log file; tests have small ones
	newestFormat byte // of entries; tests have programs that know more, or less
}

// Stores is where raft keeps what it must not forget. Tests give memory instead of a directory.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
}

// Defaults of Config.
const (
	defaultMaxPendingBytes = 256 << 20
	defaultSnapshotBytes   = 64 << 20
	aloneTimeout           = 50 * time.Millisecond
	clusterTimeout         = 300 * time.Millisecond
)

func (c *Config) setDefaults() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Transport == nil {
		c.RaftAddress = c.reached()
	}
	if c.RaftListen == "" {
		c.RaftListen = defaultListen(c.RaftAddress)
	}
	timeout := aloneTimeout
	if c.RaftAddress != "" || c.Transport != nil {
		timeout = clusterTimeout
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = cmp.Or(c.HeartbeatTimeout, timeout)
	}
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = c.ElectionTimeout
	}
	if c.MaxPendingBytes == 0 {
		c.MaxPendingBytes = defaultMaxPendingBytes
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = defaultSnapshotBytes
	}
	if c.Service == nil {
		c.Service = func() string { return "" }
	}
	if c.newestFormat == 0 {
		c.newestFormat = entryVersion
	}
	if c.segmentBytes == 0 {
		c.segmentBytes = segmentBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
