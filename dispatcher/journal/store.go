package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// segmentBytes is the size of one log file. Files are given back whole when a snapshot covers them and are allocated
// whole when they are begun: small ones keep the directory small, large ones make the pause between two of them rare.
const segmentBytes = 16 << 20

// Stores is where raft keeps what it must not forget. Tests give memory instead of a directory.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
}

// diskLog is raft-wal in a directory, with what it leaves to its user:
//   - its own database is closed with it (raft-wal leaves it open, and the next Open in this process would hang);
//   - a truncation waits for a log file that is being begun (see rotation);
//   - the mark (see mark.go) follows every write, so that a log that lost its end is noticed.
type diskLog struct {
	*wal.WAL
	meta *watchedMeta
	turn *rotation

	mu   sync.Mutex // one write or truncation at a time
	mark *mark
}

// openDiskLog opens or creates the log in dir, in files of about the given size.
func openDiskLog(dir string, size int, log hclog.Logger) (*diskLog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := prepareMeta(dir); err != nil {
		return nil, fmt.Errorf("log in %s: %w", dir, err)
	}
	turn := newRotation(segment.NewFiler(dir, newFiles()))
	meta := &watchedMeta{turn: turn}
	w, err := wal.Open(dir, wal.WithLogger(log), wal.WithCodec(logCodec{}), wal.WithMetaStore(meta),
		wal.WithSegmentFiler(turn), wal.WithSegmentSize(size))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in %s: %w", dir, err), meta.Close())
	}
	m, err := openMark(filepath.Join(dir, "mark"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in %s: %w", dir, err), w.Close(), meta.Close())
	}
	return &diskLog{WAL: w, meta: meta, turn: turn, mark: m}, nil
}

// StoreLogs implements raft.LogStore.
func (d *diskLog) StoreLogs(logs []*raft.Log) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.WAL.StoreLogs(logs); err != nil {
		if cause := d.turn.failure(); cause != nil {
			return fmt.Errorf("begin a log file: %w", cause) // raft-wal only says that the old one is full
		}
		return err
	}
	return d.mark.raise(logs[len(logs)-1].Index)
}

// StoreLog implements raft.LogStore.
func (d *diskLog) StoreLog(log *raft.Log) error {
	return d.StoreLogs([]*raft.Log{log})
}

// DeleteRange implements raft.LogStore.
func (d *diskLog) DeleteRange(first, last uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn.wait()
	end, err := d.LastIndex()
	if err != nil {
		return err
	}
	if last >= end && first > 0 {
		if err := d.mark.lower(first - 1); err != nil {
			return err
		}
	}
	return d.WAL.DeleteRange(first, last)
}

// files returns how many log files there are.
func (d *diskLog) files() int64 {
	all, err := d.turn.List()
	if err != nil {
		return 0
	}
	return int64(len(all))
}

// Close closes the files. The log is not used any more.
func (d *diskLog) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn.wait()
	return errors.Join(d.WAL.Close(), d.meta.Close(), d.mark.close())
}

// rotation watches raft-wal finish one log file and begin the next, which it does in the background.
//
// raft-wal guards that against a write but not against a truncation: one that removes the finished file before the
// next is begun would make it finish an empty file, and number the next one from 1. So a truncation waits.
type rotation struct {
	types.SegmentFiler

	mu      sync.Mutex
	begun   sync.Cond // pending is false or failed is set
	pending bool      // a file is full and the next is not there yet
	failed  error     // why the next file could not be begun; for good
}

func newRotation(filer types.SegmentFiler) *rotation {
	r := &rotation{SegmentFiler: filer}
	r.begun.L = &r.mu
	return r
}

// Create implements types.SegmentFiler. raft-wal calls it with its write lock held, as it does DeleteRange's work.
func (r *rotation) Create(info types.SegmentInfo) (types.SegmentWriter, error) {
	info.Codec = logCodecID
	w, err := r.SegmentFiler.Create(info)
	r.done(err)
	if err != nil {
		return nil, err
	}
	return &watchedWriter{w, r}, nil
}

// done notes that the next file is there, or why it will not be.
func (r *rotation) done(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = false
	if r.failed == nil {
		r.failed = err
	}
	r.begun.Broadcast()
}

// RecoverTail implements types.SegmentFiler.
func (r *rotation) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	w, err := r.SegmentFiler.RecoverTail(info)
	if err != nil {
		return nil, err
	}
	return &watchedWriter{w, r}, nil
}

// wait returns when no file is being begun.
func (r *rotation) wait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.pending && r.failed == nil {
		r.begun.Wait()
	}
}

func (r *rotation) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// watchedMeta tells the rotation when the list of files cannot be written, which raft-wal only logs. Both of them also
// name our codec in each file, which raft-wal forgets: it would refuse its own files at the next start.
type watchedMeta struct {
	metadb.BoltMetaDB
	turn *rotation
}

// CommitState implements types.MetaStore.
func (m *watchedMeta) CommitState(state types.PersistentState) error {
	for i := range state.Segments {
		state.Segments[i].Codec = logCodecID
	}
	err := m.BoltMetaDB.CommitState(state)
	if err != nil {
		m.turn.done(err)
	}
	return err
}

// watchedWriter tells the rotation when its file is full.
type watchedWriter struct {
	types.SegmentWriter
	turn *rotation
}

// Sealed implements types.SegmentWriter. raft-wal asks after each write, and begins the next file when it is true.
func (w *watchedWriter) Sealed() (bool, uint64, error) {
	sealed, index, err := w.SegmentWriter.Sealed()
	if sealed {
		w.turn.mu.Lock()
		w.turn.pending = true
		w.turn.mu.Unlock()
	}
	return sealed, index, err
}

// failStop stands before the log store and the stable store: after the first write that fails nobody knows what the
// disk holds, so no further write is let through and the journal is told to stop.
type failStop struct {
	raft.LogStore
	raft.StableStore
	fail   func(error)               // tells the journal; may be called several times
	count  func([]*raft.Log)         // is told of what was appended
	inject func(op string) faultKind // tests: what to do to this write; nil for none

	failed atomic.Pointer[error]
}

// faultKind is what a test does to a write.
type faultKind int

const (
	faultNone faultKind = iota
	faultKeep           // write it and report a failure
	faultLose           // write nothing and report a failure
)

var errInjected = fmt.Errorf("injected: %w", syscall.ENOSPC)

// guard runs one write; index, of an entry or a term, is for the error.
func (s *failStop) guard(op string, index uint64, write func() error) error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	var err error
	fault := faultNone
	if s.inject != nil {
		fault = s.inject(op)
	}
	if fault != faultLose {
		err = write()
	}
	if fault != faultNone {
		err = errInjected
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s at %d: %w", op, index, sayDiskFull(err))
	s.failed.CompareAndSwap(nil, &err)
	s.fail(err)
	return err
}

// StoreLogs implements raft.LogStore.
func (s *failStop) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	err := s.guard("append", logs[0].Index, func() error { return s.LogStore.StoreLogs(logs) })
	if err != nil {
		return err
	}
	s.count(logs)
	return nil
}

// StoreLog implements raft.LogStore.
func (s *failStop) StoreLog(log *raft.Log) error {
	return s.StoreLogs([]*raft.Log{log})
}

// DeleteRange implements raft.LogStore.
func (s *failStop) DeleteRange(first, last uint64) error {
	return s.guard("truncate", last, func() error { return s.LogStore.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (s *failStop) Set(key, value []byte) error {
	return s.guard("store the vote", 0, func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
//
// raft panics when it cannot store its term, with good reason: it must not go on. Ending its goroutine has the same
// effect, and leaves the process alive for the moment it needs to say why and to stop in order.
func (s *failStop) SetUint64(key []byte, value uint64) error {
	err := s.guard("store the term", value, func() error { return s.StableStore.SetUint64(key, value) })
	if err != nil {
		runtime.Goexit()
	}
	return nil
}

// IsMonotonic implements raft.MonotonicLogStore: whether a gap in the indexes is refused, so that raft empties the log
// when it installs a snapshot.
func (s *failStop) IsMonotonic() bool {
	m, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// sayDiskFull puts the commonest cause into words.
func sayDiskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk is full: %w", err)
	}
	return err
}
