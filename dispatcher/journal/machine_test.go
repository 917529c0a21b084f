package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// logs feeds a machine with entries, index by index.
type logs struct {
	*machine
	index uint64
}

func (l *logs) apply(h entryHeader, records ...string) any {
	e := newEntry(h, 0)
	for _, r := range records {
		if h.kind == kindOpening {
			break
		}
		e = appendRecord(e, []byte(r))
	}
	l.index++
	return l.Apply(&raft.Log{Index: l.index, Term: 4, Type: raft.LogCommand, Data: e})
}

func TestOnlyTheNextEntryOfTheNewestSessionCounts(t *testing.T) {
	sm := new(book)
	l := &logs{machine: &machine{reads: entryVersion, sm: sm, fail: func(err error) { t.Error(err) }}}
	void := outcome{void: true}
	steps := []struct {
		name    string
		header  entryHeader
		records string
		want    any
	}{
		{"before any session", entryHeader{kindRecords, 0, 5}, "x", void},
		{"opening", entryHeader{kind: kindOpening}, "", opened{session: 2, term: 4}},
		{"first", entryHeader{kindRecords, 2, 0}, "a", outcome{results: []any{1}}},
		{"the same again", entryHeader{kindRecords, 2, 0}, "x", void},
		{"after a gap", entryHeader{kindRecords, 2, 2}, "x", void},
		{"second", entryHeader{kindRecords, 2, 1}, "b", outcome{results: []any{2}}},
		{"opening again", entryHeader{kind: kindOpening}, "", opened{session: 7, term: 4}},
		{"late, of the first session", entryHeader{kindRecords, 2, 2}, "x", void},
		{"first of the second", entryHeader{kindRecords, 7, 0}, "c", outcome{results: []any{3}}},
	}
	for _, s := range steps {
		got := l.apply(s.header, s.records)
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", s.want) {
			t.Errorf("%s: result %#v, want %#v", s.name, got, s.want)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, sm.all()); diff != "" {
		t.Errorf("the book (-want +got):\n%s", diff)
	}
}

func TestASnapshotKeepsTheSession(t *testing.T) {
	fail := func(err error) { t.Error(err) }
	l := &logs{machine: &machine{reads: entryVersion, sm: new(book), fail: fail}}
	l.apply(entryHeader{kind: kindOpening})
	l.apply(entryHeader{kindRecords, 1, 0}, "a")
	snapshot, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := new(memorySink)
	if err := snapshot.Persist(sink); err != nil {
		t.Fatal(err)
	}
	l.apply(entryHeader{kindRecords, 1, 1}, "b") // after the snapshot: not in it

	sm := new(book)
	restored := &logs{machine: &machine{reads: entryVersion, sm: sm, fail: fail}, index: 2}
	if err := restored.Restore(io.NopCloser(&sink.Buffer)); err != nil {
		t.Fatal(err)
	}
	restored.apply(entryHeader{kindRecords, 1, 0}, "x") // it has had that
	restored.apply(entryHeader{kindRecords, 1, 1}, "b")
	if diff := cmp.Diff([]string{"a", "b"}, sm.all()); diff != "" {
		t.Errorf("the book (-want +got):\n%s", diff)
	}
}

type memorySink struct{ bytes.Buffer }

func (*memorySink) ID() string    { return "1" }
func (*memorySink) Close() error  { return nil }
func (*memorySink) Cancel() error { return nil }

func TestAnUnknownEntryStopsTheMachineForGood(t *testing.T) {
	var failure error
	sm := new(book)
	l := &logs{machine: &machine{reads: entryVersion, sm: sm, fail: func(err error) { failure = err }}}
	l.apply(entryHeader{kind: kindOpening})
	e := newEntry(entryHeader{kindRecords, 1, 0}, 0)
	e[0] = 99
	l.Apply(&raft.Log{Index: 2, Term: 4, Type: raft.LogCommand, Data: e})
	if failure == nil || !strings.Contains(failure.Error(), "format version 99") || !strings.Contains(failure.Error(), "entry 2") {
		t.Errorf("failure %v, want one that names entry 2 and its version", failure)
	}
	l.apply(entryHeader{kindRecords, 1, 0}, "x")
	if got := sm.all(); len(got) > 0 {
		t.Errorf("after it the machine still applied %q", got)
	}
	if _, err := l.Snapshot(); !errors.Is(err, failure) {
		t.Errorf("after it Snapshot gives %v, want the failure: a snapshot would hide the entry", err)
	}
}

// slow is a disk that takes its time for each write.
type slow time.Duration

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(s))
	return len(p), nil
}

func TestAStateBeingWrittenLeavesHalfOfTheTimeToOthers(t *testing.T) {
	for each, want := range map[time.Duration]time.Duration{time.Millisecond: 2 * time.Millisecond, time.Second: time.Second + longestRest} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := &sparing{slow(each), new(atomic.Bool), began}
			const pieces = 100
			for range pieces {
				if _, err := w.Write([]byte("a piece")); err != nil {
					t.Fatal(err)
				}
			}
			if got := time.Since(began) / pieces; got != want {
				t.Errorf("pieces that take %v each: %v from one to the next, want %v", each, got, want)
			}
			w.stopping.Store(true)
			if _, err := w.Write([]byte("a piece")); err == nil {
				t.Error("written on while the journal stops")
			}
		})
	}
}
