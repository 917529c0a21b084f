package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

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

	reads   byte   // newest format of entries
	session uint64 // index of the opening entry applied last
	next    uint64 // number of the entry that counts next
	broken  error  // why nothing is applied any more
	records [][]byte

	roll    atomic.Pointer[roll] // read by anybody; see known
	noticed func(roll) error     // is told of each new roll; nil: nobody is

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
	h, records, err := decodeEntryUpTo(m.reads, l.Data, m.records)
	if err != nil {
		return nil, err
	}
	m.records = records
	defer clear(records) // or they would keep the entry in memory
	if h.kind == kindNotice || h.kind == kindOpening && len(records) > 0 {
		n, err := decodeNotice(records)
		if err == nil {
			err = m.setRoll(m.known().with(n))
		}
		if err != nil {
			return nil, err
		}
	}
	switch h.kind {
	case kindOpening:
		m.session, m.next = l.Index, 0
		return opened{session: l.Index, term: l.Term}, nil
	case kindNotice:
		return nil, nil
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

// known returns the roll as it is now. It is not to be changed.
func (m *machine) known() roll {
	if r := m.roll.Load(); r != nil {
		return *r
	}
	return roll{}
}

func (m *machine) setRoll(r roll) error {
	m.roll.Store(&r)
	if m.noticed == nil {
		return nil
	}
	return m.noticed(r)
}

// stateHeader is what stands before the StateMachine's part of a snapshot: the session and the next number in it, 8 bytes
// each, big endian; then 4 bytes of length and the roll in JSON.
func stateHeader(session, next uint64, r roll) ([]byte, error) {
	content, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint64(nil, session)
	head = binary.BigEndian.AppendUint64(head, next)
	head = binary.BigEndian.AppendUint32(head, uint32(len(content)))
	return append(head, content...), nil
}

// maxRoll bounds the roll in a snapshot, in bytes.
const maxRoll = 1 << 20

// readStateHeader reads what stateHeader wrote.
func readStateHeader(r io.Reader) (session, next uint64, known roll, err error) {
	var head [8 + 8 + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, known, fmt.Errorf("read the state's header: %w", err)
	}
	size := binary.BigEndian.Uint32(head[16:])
	if size > maxRoll {
		return 0, 0, known, fmt.Errorf("read the state's header: a roll of %d bytes", size)
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(r, content); err != nil {
		return 0, 0, known, fmt.Errorf("read the state's header: %w", err)
	}
	if err := json.Unmarshal(content, &known); err != nil {
		return 0, 0, known, fmt.Errorf("read the state's header: %w", err)
	}
	return binary.BigEndian.Uint64(head[:]), binary.BigEndian.Uint64(head[8:]), known, nil
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.broken != nil {
		return nil, m.broken
	}
	header, err := stateHeader(m.session, m.next, m.known())
	if err != nil {
		return nil, err
	}
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
	session, next, known, err := readStateHeader(r)
	if err != nil {
		return err
	}
	if err := m.sm.Restore(r); err != nil {
		return err
	}
	// What the state machine did not read must be intact too: the end of the file is where the sums end.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	m.session, m.next = session, next
	return m.setRoll(known)
}

// state is a StateMachine's state at one moment, on its way into a snapshot.
type state struct {
	header   []byte
	body     io.WriterTo
	stopping *atomic.Bool
}

// Persist implements raft.FSMSnapshot. raft cancels the sink when it fails.
func (s *state) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s.header); err != nil {
		return err
	}
	_, err := s.body.WriteTo(&sparing{sink, s.stopping, time.Now()})
	return err
}

// sparing is a writer that rests for as long as it has worked: writing a large state takes a processor for a good part of
// a second, and on a small machine every task would wait for it. It fails when the journal stops.
type sparing struct {
	io.Writer
	stopping *atomic.Bool
	rested   time.Time // when its work began again
}

// longestRest is for a disk that made it wait: then the processor was free anyway.
const longestRest = 10 * time.Millisecond

// Write implements io.Writer. A state comes in pieces that take about a millisecond.
func (w *sparing) Write(p []byte) (int, error) {
	if w.stopping.Load() {
		return 0, errors.New("the journal stops")
	}
	n, err := w.Writer.Write(p)
	time.Sleep(min(time.Since(w.rested), longestRest)) //nolint:forbidigo // nothing waits for this goroutine: it is to be slow
	w.rested = time.Now()
	return n, err
}

// Release implements raft.FSMSnapshot.
func (s *state) Release() {}

// StoreConfiguration implements raft.ConfigurationStore, for its effect on raft: a change of members counts as applied,
// so that a snapshot can be taken right after one.
func (m *machine) StoreConfiguration(uint64, raft.Configuration) {}
