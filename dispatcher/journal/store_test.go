package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

func TestALogEntryReadsBackAndEveryBitOfItCounts(t *testing.T) {
	want := raft.Log{Index: 7, Term: 3, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(5, 6)}
	var buf bytes.Buffer
	if err := (logCodec{}).Encode(&want, &buf); err != nil {
		t.Fatal(err)
	}
	var got raft.Log
	if err := (logCodec{}).Decode(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	for bit := range buf.Len() * 8 {
		b := bytes.Clone(buf.Bytes())
		b[bit/8] ^= 1 << (bit % 8)
		if err := (logCodec{}).Decode(b, &got); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("bit %d flipped: %v, want it to be noticed", bit, err)
		}
	}
}

func FuzzLogCodec(f *testing.F) {
	var buf bytes.Buffer
	if err := (logCodec{}).Encode(&raft.Log{Index: 1, Data: []byte("x")}, &buf); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var l raft.Log
		_ = (logCodec{}).Decode(b, &l) // no panic
	})
}

// TestATruncationWaitsForTheNextFile: each write fills a file, and everything is given back at once, while the next
// file is being begun.
func TestATruncationWaitsForTheNextFile(t *testing.T) {
	const segment, writes = 4 << 10, 100
	dir := t.TempDir()
	d, err := openDiskLog(dir, segment, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, segment)
	for i := uint64(1); i <= writes; i++ {
		if err := d.StoreLog(&raft.Log{Index: i, Data: data}); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if err := d.DeleteRange(i, i); err != nil {
			t.Fatalf("truncate %d: %v", i, err)
		}
	}
	const last = writes + 1
	if err := d.StoreLog(&raft.Log{Index: last, Data: []byte("last")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = openDiskLog(dir, segment, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var l raft.Log
	from, _ := d.FirstIndex()
	to, _ := d.LastIndex()
	if err := d.GetLog(last, &l); err != nil || string(l.Data) != "last" || from != last || to != last {
		t.Errorf("entry %d is %q, %v; the log is %d to %d, want it alone", last, l.Data, err, from, to)
	}
	if d.mark.index != last {
		t.Errorf("the mark is %d, want %d", d.mark.index, last)
	}
}

// TestAFollowersTruncationLowersTheMark: what a new leader takes back was never acknowledged; the log that ends
// earlier is whole.
func TestAFollowersTruncationLowersTheMark(t *testing.T) {
	d, err := openDiskLog(t.TempDir(), segmentBytes, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := uint64(1); i <= 5; i++ {
		if err := d.StoreLog(&raft.Log{Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DeleteRange(4, 5); err != nil {
		t.Fatal(err)
	}
	if last, err := d.LastIndex(); err != nil || last != 3 || d.mark.index != 3 {
		t.Errorf("the log ends at %d (%v), the mark is %d; want 3", last, err, d.mark.index)
	}
	if err := d.DeleteRange(1, 2); err != nil || d.mark.index != 3 {
		t.Errorf("after giving back the beginning (%v) the mark is %d, want 3", err, d.mark.index)
	}
}

// sized is a StateMachine whose state is a number of bytes.
type sized struct {
	counter
	bytes int
}

func (s *sized) Snapshot() io.WriterTo { return bytes.NewReader(make([]byte, s.bytes)) }
func (s *sized) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// keepsUp waits while a snapshot is overdue: how much is written while one is taken is a matter of the disk, and of who has the
// processor.
func (r *running) keepsUp() {
	r.t.Helper()
	overdue := func() bool {
		r.growth.mu.Lock()
		defer r.growth.mu.Unlock()
		return r.growth.since > 2*r.cfg.SnapshotBytes
	}
	for deadline := time.Now().Add(20 * time.Second); overdue(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("no snapshot is taken")
		}
	}
}

// TestTheDirectoryStaysSmall: much more is written than the directory may hold.
func TestTheDirectoryStaysSmall(t *testing.T) {
	const state, segment, written = 1 << 20, 1 << 20, 24 << 20
	dir := t.TempDir()
	j := start(t, Config{Directory: dir, SnapshotBytes: 1 << 20, segmentBytes: segment}, &sized{bytes: state})
	j.lead()
	record := make([]byte, 64<<10)
	for i := range record {
		record[i] = byte(rand.Int())
	}
	largest := int64(0)
	for range written / len(record) {
		if _, err := j.write(string(record)); err != nil {
			t.Fatal(err)
		}
		largest = max(largest, directorySize(t, dir))
		j.keepsUp()
	}
	const bound = 3*state + 4*segment
	if largest > bound {
		t.Errorf("the directory grew to %d MiB, want at most %d", largest>>20, bound>>20)
	}
	if err := j.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size := directorySize(t, dir); size > state+3*segment {
		t.Errorf("after a snapshot the directory has %d MiB", size>>20)
	}
	if s := j.Status(); s.SnapshotIndex < s.AppliedIndex || s.SnapshotBytes < state || s.SnapshotBytes > state+1024 || s.AppendedBytes < written {
		t.Errorf("Status = %+v", s)
	}
}

func directorySize(t *testing.T, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it was there a moment ago
		}
		if info, err := e.Info(); err == nil && !e.IsDir() {
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestASnapshotThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := openSnapshots(dir, newTestLogger())
	if err != nil {
		t.Fatal(err)
	}
	write := func(index uint64, content string) raft.SnapshotSink {
		sink, err := s.Create(1, index, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(sink, content); err != nil {
			t.Fatal(err)
		}
		return sink
	}
	content := strings.Repeat("abc", chunkSize)
	if err := write(9, "old").Close(); err != nil {
		t.Fatal(err)
	}
	if err := write(10, content).Close(); err != nil {
		t.Fatal(err)
	}
	if err := write(11, content).Cancel(); err != nil {
		t.Fatal(err)
	}
	failing := write(12, content)
	failing.(*snapshotWriter).file.Close() // as if the disk were gone
	if err := failing.Close(); err == nil {
		t.Error("a snapshot that could not be written was not refused")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(names) > 0 {
		t.Errorf("failed snapshots left %v", names)
	}
	write(13, content) // and the process dies
	if s, err = openSnapshots(dir, newTestLogger()); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || all[0].Index != 10 || all[0].Size != int64(len(content)) {
		t.Fatalf("List = %+v, %v; want the one of index 10 alone", all, err)
	}
	_, r, err := s.Open(all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != content {
		t.Errorf("read %d bytes, %v; want the %d written", len(got), err, len(content))
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Errorf("the directory has %d files, want 1: %v", len(names), names)
	}
}

// FuzzSnapshot: whatever a file holds, reading it ends without a panic, and gives nothing that is not under a sum.
func FuzzSnapshot(f *testing.F) {
	s, err := openSnapshots(f.TempDir(), newTestLogger())
	if err != nil {
		f.Fatal(err)
	}
	sink, err := s.Create(1, 2, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := io.WriteString(sink, "the state"); err != nil {
		f.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(s.dir, sink.ID()+snapshotSuffix)
	good, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		_, r, err := s.Open(sink.ID())
		if err != nil {
			return
		}
		defer r.Close()
		if state, err := io.ReadAll(r); err == nil && string(state) != "the state" && len(state) > len(content) {
			t.Errorf("%d bytes were read from a file of %d", len(state), len(content))
		}
	})
}
