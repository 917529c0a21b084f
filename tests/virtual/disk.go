package virtual

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"taskgrid/dispatcher/journal"
)

// Disk is what a dispatcher keeps in its data directory. It outlives the process that writes to it.
type Disk struct {
	log       *raft.InmemStore
	snapshots *raft.InmemSnapshotStore
	fault     atomic.Pointer[fault]
	takes     atomic.Int64 // how long an append takes, in nanoseconds
}

// fault is what becomes of the next append.
type fault struct{ keep bool }

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	return &Disk{log: raft.NewInmemStore(), snapshots: raft.NewInmemSnapshotStore()}
}

// Fail makes the next append fail. With keep, what was to be appended is on the disk all the same: whoever is told of a
// failed append does not know.
func (d *Disk) Fail(keep bool) { d.fault.Store(&fault{keep}) }

// Slow makes each append from the next one on take so long.
func (d *Disk) Slow(takes time.Duration) { d.takes.Store(int64(takes)) }

// mount opens the disk for one process. It is sound again, whatever it was.
func (d *Disk) mount() *mount {
	d.fault.Store(nil)
	return &mount{InmemStore: d.log, snapshots: d.snapshots, disk: d}
}

// mount is a disk as one process has it open.
type mount struct {
	*raft.InmemStore
	snapshots *raft.InmemSnapshotStore
	disk      *Disk
	gone      atomic.Bool // the process is dead: it writes nothing more
	full      atomic.Bool // nothing fits any more
}

var (
	errGone = errors.New("the process is dead")
	errDisk = errors.New("the disk fails")
)

func (m *mount) stores() *journal.Stores {
	return &journal.Stores{Log: m, Stable: m, Snapshots: m.snapshots}
}

// StoreLog implements raft.LogStore.
func (m *mount) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (m *mount) StoreLogs(logs []*raft.Log) error {
	if m.gone.Load() {
		return errGone
	}
	if m.full.Load() {
		return syscall.ENOSPC
	}
	time.Sleep(time.Duration(m.disk.takes.Load()))
	f := m.disk.fault.Swap(nil)
	if f != nil && !f.keep {
		return errDisk
	}
	if err := m.InmemStore.StoreLogs(logs); err != nil || f == nil {
		return err
	}
	return errDisk
}

// Set implements raft.StableStore.
func (m *mount) Set(key, value []byte) error {
	if m.gone.Load() {
		return errGone
	}
	return m.InmemStore.Set(key, value)
}

// SetUint64 implements raft.StableStore.
func (m *mount) SetUint64(key []byte, value uint64) error {
	if m.gone.Load() {
		return errGone
	}
	return m.InmemStore.SetUint64(key, value)
}
