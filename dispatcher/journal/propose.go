package journal

import (
	"errors"
	"fmt"
	"time"
)

// Errors of Propose, VerifyLeader and the done callbacks.
var (
	// ErrNotLeader: this node does not lead, or not any more; the records were not applied and will not be.
	ErrNotLeader = errors.New("journal: not the leader")
	// ErrUnknown: leadership, or the disk, was lost while the records were being written; they may be applied later.
	ErrUnknown = errors.New("journal: the fate of the records is not known")
	// ErrFull: more than Config.MaxPendingBytes wait to be made durable; the records were not taken.
	ErrFull = errors.New("journal: too much is waiting to be written")
)

// entryBytes is how large an entry grows by records of several calls. It bounds what is written at once, and with it
// how long a small call waits behind others.
const entryBytes = 128 << 10

// Few records, of large payloads, share a sync all the same: below entryRecords an entry grows to largeEntryBytes.
const (
	entryRecords    = 32
	largeEntryBytes = 1 << 20
)

// Done takes the outcome of a Propose: the results of its records, nil when there are none, or an error.
type Done func(results []any, err error)

// call is one Propose.
type call struct {
	records int
	done    Done
}

// batch is an entry in the making, of one call or many.
type batch struct {
	entry   []byte
	records int
	calls   []call
	began   time.Time // when the first call came
}

// Propose hands over records to be made durable and applied, in the order of the calls. The records of one call are
// applied all or none, and may be used again when Propose returns. It never waits, and never calls done itself.
//
// done may be nil. It is called exactly once, by a goroutine of the journal, in the order of the calls, unless Propose
// returned an error; with ErrNotLeader or ErrUnknown when the records were not applied, or not yet. It should be
// quick: the outcomes behind it wait. A call without records changes nothing, and its done says that all before it is
// applied.
func (j *Journal) Propose(records [][]byte, done Done) error {
	return j.propose(records, done, true)
}

// Append is Propose for records that nobody waits for: they go with the next that somebody waits for, or after linger. In
// a cluster they go at once: the next leader, which may be chosen while this one lives on, is to know of them.
func (j *Journal) Append(records [][]byte) error {
	return j.propose(records, nil, false)
}

// linger is how long records that nobody waits for may wait for others, to be written with them instead of before them.
const linger = 5 * time.Millisecond

func (j *Journal) propose(records [][]byte, done Done, hurry bool) error {
	size := 0
	for _, r := range records {
		size += recordSize(len(r))
	}
	if size > maxCallBytes {
		return fmt.Errorf("journal: %d records of %d bytes together, at most %d fit one call", len(records), size, maxCallBytes)
	}
	j.mu.Lock()
	s := j.session
	if s == nil {
		j.mu.Unlock()
		return ErrNotLeader
	}
	if size > 0 && s.pending > 0 && s.pending+int64(size) > j.cfg.MaxPendingBytes {
		j.mu.Unlock()
		return ErrFull
	}
	b := s.open(size)
	before := len(b.entry)
	for _, r := range records {
		b.entry = appendRecord(b.entry, r)
	}
	b.records += len(records)
	b.calls = append(b.calls, call{len(records), done})
	s.pending += int64(len(b.entry) - before)
	switch {
	case hurry || !s.alone:
		s.hurry = true
	case !s.hurry && !s.lingers:
		s.lingers = true
		s.lingering.Reset(linger)
	}
	ready := s.ready()
	j.mu.Unlock()
	if ready {
		s.nudge()
	}
	return nil
}

// open returns the batch that takes size more bytes. The journal's lock is held.
func (s *session) open(size int) *batch {
	if n := len(s.waiting); n > 0 {
		newest := s.waiting[n-1]
		limit := entryBytes
		if newest.records < entryRecords {
			limit = largeEntryBytes
		}
		if len(newest.entry)+size <= limit {
			return newest
		}
	}
	b := &batch{
		entry: newEntryOf(s.format, entryHeader{kind: kindRecords, session: s.id, number: s.number}, max(size, min(s.lastSize, entryBytes))),
		began: time.Now(),
	}
	s.number++
	s.waiting = append(s.waiting, b)
	return b
}

// resolve tells each call of the batch its share of the results, or the error.
func (b *batch) resolve(results []any, err error) {
	for _, c := range b.calls {
		var own []any
		if results != nil {
			own, results = results[:c.records:c.records], results[c.records:]
		}
		if c.done != nil {
			c.done(own, err)
		}
	}
}
