package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// machine is the StateMachine as raft drives it. It gives records their order and their session:
//
// A leader's first entry opens a session. Every other entry names its session and its number in it, and counts only if
// that is the session opened last, and that number is the next. All others are void: on every replica, because all
// see the same entries. So an entry that outlived its leadership in some queue and enters the log under a later one,
// or follows one that did not enter it, changes nothing.
type machine struct {
	sm   StateMachine
	fail func(error)

	session uint64 // index of the opening entry applied last
	next    uint64 // number of the entry that counts next
	broken  error  // why nothing is applied any more
	records [][]byte

	applied  atomic.Uint64 // index of the newest entry applied
	stopping atomic.Bool   // a snapshot that is being written need not be finished
}

// opened is the result of an opening entry.
type opened struct {
	session uint64
	term    uint64
}

// outcome is the result of an entry with records.
type outcome struct {
	void    bool
	results []any
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any {
	if m.broken != nil {
		return m.broken
	}
	result, err := m.apply(l)
	if err != nil {
		m.broken = fmt.Errorf("apply entry %d of term %d: %w", l.Index, l.Term, err)
		m.fail(m.broken)
		return m.broken
	}
	m.applied.Store(l.Index)
	return result
}

func (m *machine) apply(l *raft.Log) (any, error) {
	h, records, err := decodeEntry(l.Data, m.records)
	if err != nil {
		return nil, err
	}
	m.records = records
	defer clear(records) // or they would keep the entry in memory
	if h.kind == kindOpening {
		m.session, m.next = l.Index, 0
		return opened{session: l.Index, term: l.Term}, nil
	}
	if h.session != m.session || h.number != m.next {
		return outcome{void: true}, nil
	}
	m.next++
	if len(records) == 0 {
		return outcome{}, nil
	}
	results := m.sm.Apply(records)
	if results != nil && len(results) != len(records) {
		return nil, fmt.Errorf("the state machine gave %d results for %d records", len(results), len(records))
	}
	return outcome{results: results}, nil
}

// stateHeaderSize is what stands before the StateMachine's part of a snapshot: the session and the next number in it,
// 8 bytes each, big endian.
const stateHeaderSize = 16

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	var header [stateHeaderSize]byte
	binary.BigEndian.PutUint64(header[:], m.session)
	binary.BigEndian.PutUint64(header[8:], m.next)
	return &state{header: header, body: m.sm.Snapshot(), stopping: &m.stopping}, nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(r io.ReadCloser) error {
	err := m.restore(r)
	if err != nil { // the state machine holds half a state now
		m.broken = fmt.Errorf("restore: %w", err)
		m.fail(m.broken)
	}
	return err
}

func (m *machine) restore(r io.Reader) error {
	var header [stateHeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return fmt.Errorf("read the state's header: %w", err)
	}
	if err := m.sm.Restore(r); err != nil {
		return err
	}
	// What the state machine did not read must be intact too: the end of the file is where the sums end.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	m.session = binary.BigEndian.Uint64(header[:])
	m.next = binary.BigEndian.Uint64(header[8:])
	return nil
}

// state is a StateMachine's state at one moment, on its way into a snapshot.
type state struct {
	header   [stateHeaderSize]byte
	body     io.WriterTo
	stopping *atomic.Bool
}

// Persist implements raft.FSMSnapshot. raft cancels the sink when it fails.
func (s *state) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.header[:]); err != nil {
		return err
	}
	_, err := s.body.WriteTo(interruptible{sink, s.stopping})
	return err
}

// interruptible is a writer that fails when the journal stops.
type interruptible struct {
	io.Writer
	stopping *atomic.Bool
}

// Write implements io.Writer.
func (w interruptible) Write(p []byte) (int, error) {
	if w.stopping.Load() {
		return 0, errors.New("the journal stops")
	}
	return w.Writer.Write(p)
}

// Release implements raft.FSMSnapshot.
func (s *state) Release() {}

// StoreConfiguration implements raft.ConfigurationStore, for its effect on raft: a change of members counts as applied,
// so that a snapshot can be taken right after one.
func (m *machine) StoreConfiguration(uint64, raft.Configuration) {}
