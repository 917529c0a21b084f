package journal

import (
	"sync"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

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
