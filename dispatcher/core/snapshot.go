package core

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// maxFrame bounds one frame of a snapshot in bytes: a task with the longest texts and history, many times over.
const maxFrame = 64 << 20

// A snapshot is a version byte and then frames, each with its length in front: one with the counts of everything, one
// for each type, each event, each task, and the ids of the terminal tasks in the order in which they ended.

// snapshot is a machine at one moment. It shares with the machine only what never changes.
type snapshot struct {
	lastID   uint64
	lastSeq  uint64
	types    []TypeStats
	events   []Event
	tasks    table
	finished []uint64
}

// Snapshot returns the machine as it is now, ready to be written while the machine goes on.
func (m *Machine) Snapshot() io.WriterTo {
	events, _ := m.events.since(m.events.first()-1, math.MaxInt, make([]Event, 0, len(m.events.events)))
	return &snapshot{
		lastID:   m.lastID,
		lastSeq:  m.events.last,
		types:    m.Stats(),
		events:   events,
		tasks:    m.tasks.clone(),
		finished: m.finished.list(),
	}
}

// WriteTo writes the snapshot.
func (s *snapshot) WriteTo(to io.Writer) (int64, error) {
	f := frameWriter{to: bufio.NewWriterSize(to, 1<<16)}
	f.raw([]byte{snapshotVersion})
	f.frame(func(w *writer) {
		w.uint(s.lastID)
		w.uint(s.lastSeq)
		w.uint(uint64(len(s.types)))
		w.uint(uint64(len(s.events)))
		w.uint(uint64(s.tasks.count))
		w.uint(uint64(len(s.finished)))
	})
	for i := range s.types {
		f.frame(func(w *writer) { w.stats(&s.types[i]) })
	}
	for i := range s.events {
		f.frame(func(w *writer) { w.event(&s.events[i]) })
	}
	s.tasks.each(func(t *Task) {
		f.frame(func(w *writer) { w.task(t) })
	})
	for _, id := range s.finished {
		f.frame(func(w *writer) { w.uint(id) })
	}
	if f.err == nil {
		f.err = f.to.Flush()
	}
	return f.n, f.err
}

// Restore replaces the machine by what a snapshot holds. After an error the machine must not be used.
func (m *Machine) Restore(from io.Reader) error {
	f := frameReader{from: bufio.NewReaderSize(from, 1<<16)}
	if v, err := f.from.ReadByte(); err != nil {
		return fmt.Errorf("core: snapshot: %w", err)
	} else if v != snapshotVersion {
		return fmt.Errorf("core: snapshot has format version %d, this program reads %d", v, snapshotVersion)
	}
	fresh := NewMachine(m.events.limit)
	var types, events, tasks, finished uint64
	f.frame(func(r *reader) {
		fresh.lastID, fresh.events.last = r.uint(), r.uint()
		types, events, tasks, finished = r.uint(), r.uint(), r.uint(), r.uint()
		if last := max(fresh.lastID, fresh.events.last); last > maxCount && r.err == nil {
			r.err = fmt.Errorf("core: %d tasks or events cannot have been", last)
		}
	})
	f.repeat(types, func(r *reader) {
		st := r.stats()
		st.Type = fresh.decoder.texts.get(st.Type)
		fresh.types[st.Type] = &st
		fresh.forgotten += st.Forgotten
	})
	fresh.events.last -= min(events, fresh.events.last) // add counts them again
	f.repeat(events, func(r *reader) {
		e := r.event()
		e.Type, e.WorkerID = fresh.decoder.texts.get(e.Type), fresh.decoder.texts.get(e.WorkerID)
		fresh.events.add(e)
	})
	var before uint64
	f.repeat(tasks, func(r *reader) {
		t := r.task()
		if r.err == nil {
			r.err = fresh.adopt(t, before)
		}
		before = t.ID
	})
	listed := make(map[uint64]bool)
	f.repeat(finished, func(r *reader) {
		id := r.uint()
		if t := fresh.tasks.get(id); r.err == nil && (t == nil || !t.State.Terminal() || listed[id]) {
			r.err = fmt.Errorf("core: task %d is listed as finished and is not, or twice", id)
		}
		listed[id] = true
		fresh.finished.push(id)
	})
	if terminal := fresh.tasks.count - fresh.live; f.err == nil && terminal != len(listed) {
		f.err = fmt.Errorf("%d tasks are terminal, %d are listed as finished", terminal, len(listed))
	}
	if f.err != nil {
		return fmt.Errorf("core: snapshot: %w", f.err)
	}
	fresh.Changed = m.Changed
	*m = *fresh
	return nil
}

// maxCount bounds the numbers of tasks and events, so that counting on from damaged ones does not wrap around.
const maxCount = math.MaxInt64

// maxSpan bounds how far apart the ids of kept tasks may lie, and with it what damaged ids cost: the table's list of
// blocks takes 8 MB then. At 10,000 tasks a second, one of them would have to stay for three years.
const maxSpan = 1 << 40

// adopt enters a task that a snapshot holds; before is the id of the one entered last, 0 for the first.
func (m *Machine) adopt(t *Task, before uint64) error {
	switch {
	case t.ID <= before || t.ID > m.lastID || before > 0 && t.ID-m.tasks.base*blockSize > maxSpan:
		return fmt.Errorf("core: task %d after task %d, of %d, cannot be", t.ID, before, m.lastID)
	case t.State != Queued && t.State != Retrying && !t.State.Running() && !t.State.Terminal():
		return fmt.Errorf("core: task %d rests in state %v, which cannot be", t.ID, t.State)
	case t.State != Queued && len(t.steps) == 0:
		return fmt.Errorf("core: task %d is in state %v, and its history does not say how", t.ID, t.State)
	}
	t.Type, t.WorkerID, t.LeaseID = m.decoder.texts.get(t.Type), m.decoder.texts.get(t.WorkerID), m.decoder.texts.get(t.LeaseID)
	for i := range t.steps {
		t.steps[i].WorkerID = m.decoder.texts.get(t.steps[i].WorkerID)
	}
	if t.State.Terminal() {
		m.doneSize += t.size()
	} else {
		m.live++
		m.liveSize += int64(len(t.Payload))
	}
	if t.Key != "" {
		m.keys.add(t.Key, t.ID)
	}
	m.tasks.put(t)
	return nil
}

func (w *writer) stats(st *TypeStats) {
	w.text(st.Type)
	for _, n := range st.counters() {
		w.uint(*n)
	}
	w.span(st.ProcessingTime)
	w.span(st.QueueTime)
	w.uint(histogramBuckets)
	for _, n := range st.Latency.buckets {
		w.uint(n)
	}
}

func (r *reader) stats() TypeStats {
	st := TypeStats{Type: r.text()}
	for _, n := range st.counters() {
		*n = r.uint()
	}
	st.ProcessingTime, st.QueueTime = r.span(), r.span()
	if n := r.list(); n != histogramBuckets && r.err == nil {
		r.err = fmt.Errorf("core: histogram of %d buckets, want %d", n, histogramBuckets)
	}
	for i := range st.Latency.buckets {
		st.Latency.buckets[i] = r.uint()
		st.Latency.count += st.Latency.buckets[i]
	}
	return st
}

func (w *writer) event(e *Event) {
	w.instant(e.At)
	w.uint(e.TaskID)
	w.text(e.Type)
	w.text(e.WorkerID)
	w.text(e.Reason)
	w.uint(uint64(e.Attempt))
	w.byte(byte(e.From))
	w.byte(byte(e.To))
	w.text(e.Aspect)
	w.text(e.Before)
	w.text(e.After)
}

func (r *reader) event() Event {
	return Event{At: r.instant(), TaskID: r.uint(), Type: r.text(), WorkerID: r.text(), Reason: r.text(),
		Attempt: r.uint32(), From: State(r.byte()), To: State(r.byte()), Aspect: r.text(), Before: r.text(), After: r.text()}
}

func (w *writer) task(t *Task) {
	w.spec(t.Spec)
	w.uint(t.ID)
	w.byte(byte(t.State))
	w.uint(t.Order)
	w.uint(uint64(t.Attempt))
	w.text(t.WorkerID)
	w.text(t.LeaseID)
	w.text(t.Result)
	w.text(t.Error)
	for _, i := range []Instant{t.Created, t.QueuedAt, t.DispatchedAt, t.Ended, t.RetryAt} {
		w.instant(i)
	}
	w.span(t.Duration)
	w.uint(uint64(t.Attempts))
	w.uint(uint64(t.Redeliveries))
	w.uint(uint64(t.dropped))
	w.uint(uint64(len(t.steps)))
	for _, s := range t.steps {
		w.instant(s.At)
		w.text(s.WorkerID)
		w.text(s.Reason)
		w.uint(uint64(s.Attempt))
		w.byte(byte(s.From))
		w.byte(byte(s.To))
	}
}

func (r *reader) task() *Task {
	t := &Task{Spec: r.spec(), ID: r.uint(), State: State(r.byte()), Order: r.uint(), Attempt: Token(r.uint()),
		WorkerID: r.text(), LeaseID: r.text(), Result: r.text(), Error: r.text(),
		Created: r.instant(), QueuedAt: r.instant(), DispatchedAt: r.instant(), Ended: r.instant(), RetryAt: r.instant(),
		Duration: r.span(), Attempts: r.uint16(), Redeliveries: r.uint16(), dropped: r.uint32()}
	for n := r.list(); n > 0 && r.err == nil; n-- {
		t.steps = append(t.steps, Step{At: r.instant(), WorkerID: r.text(), Reason: r.text(), Attempt: r.uint32(), From: State(r.byte()), To: State(r.byte())})
	}
	return t
}

// frameWriter writes frames until the first error.
type frameWriter struct {
	to  *bufio.Writer
	w   writer
	n   int64
	err error
}

func (f *frameWriter) frame(fill func(*writer)) {
	f.w.buf = f.w.buf[:0]
	fill(&f.w)
	f.raw(binary.AppendUvarint(nil, uint64(len(f.w.buf))))
	f.raw(f.w.buf)
}

func (f *frameWriter) raw(b []byte) {
	if f.err == nil {
		var n int
		n, f.err = f.to.Write(b)
		f.n += int64(n)
	}
}

// frameReader reads frames until the first error.
type frameReader struct {
	from *bufio.Reader
	buf  bytes.Buffer // grows as a frame comes: a damaged length asks for no memory
	err  error
}

func (f *frameReader) frame(take func(*reader)) {
	if f.err != nil {
		return
	}
	n, err := binary.ReadUvarint(f.from)
	if err != nil {
		f.err = fmt.Errorf("length of a frame: %w", err)
		return
	}
	if n > maxFrame {
		f.err = fmt.Errorf("frame of %d bytes, at most %d are allowed", n, maxFrame)
		return
	}
	f.buf.Reset()
	if _, err := io.CopyN(&f.buf, f.from, int64(n)); err != nil {
		f.err = fmt.Errorf("frame of %d bytes: %w", n, err)
		return
	}
	r := reader{data: f.buf.Bytes()}
	if take(&r); r.err == nil && r.pos != len(r.data) {
		r.err = fmt.Errorf("core: %d bytes left over in a frame", len(r.data)-r.pos)
	}
	f.err = r.err
}

func (f *frameReader) repeat(n uint64, take func(*reader)) {
	for ; n > 0 && f.err == nil; n-- {
		f.frame(take)
	}
}
