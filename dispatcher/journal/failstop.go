package journal

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
)

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
