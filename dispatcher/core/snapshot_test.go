package core

import (
	"bytes"
	"encoding/hex"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// lived returns a machine with a task in every state, and some of it forgotten.
func lived(t testing.TB) *history {
	h := newHistory(t)
	for range 8 {
		h.submit(Spec{Type: "sum", Payload: "1,2", Key: "", Labels: []Label{{"a", "b"}}})
	}
	h.submit(Spec{Key: "key"})
	h.apply(&KnownType{Type: "upper"})
	h.apply(&WorkerChange{At: h.now, WorkerID: "w1", Aspect: "state", After: "ACTIVE"})
	h.apply(&Cancel{At: h.now, Task: 1, Reason: "why"})
	h.apply(&Forget{Count: 1})
	h.dispatch(2)
	h.begin(3)
	h.begin(4)
	h.end(4, EndResult, "3")
	h.begin(5)
	h.end(5, EndPermanent, "no")
	h.apply(&Cancel{At: h.now, Task: 6, Reason: "why"})
	h.begin(7)
	h.end(7, EndRetryable, "again")
	return h
}

func TestARestoredMachineBehavesIdentically(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		original := NewMachine(rapid.IntRange(1, 50).Draw(t, "events kept"))
		now := At(start)
		apply := func(m *Machine, rec record) any {
			got, err := m.Apply(Encode(rec))
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := got.(Submitted); ok && s.Task != nil {
				got = Submitted{Task: &Task{ID: s.Task.ID, State: s.Task.State}, Duplicate: s.Duplicate, Other: s.Other}
			}
			return got
		}
		for range rapid.IntRange(0, 60).Draw(t, "records before") {
			now++
			apply(original, plausible(t, original, now))
		}
		restored := NewMachine(original.events.limit)
		restoreFrom(t, restored, original)
		for range rapid.IntRange(0, 60).Draw(t, "records after") {
			now++
			rec := plausible(t, original, now)
			want, got := apply(original, rec), apply(restored, rec)
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("%#v: the original answers %+v, the restored one %+v", rec, want, got)
			}
		}
		var a, b bytes.Buffer
		original.Snapshot().WriteTo(&a)
		restored.Snapshot().WriteTo(&b)
		if !bytes.Equal(a.Bytes(), b.Bytes()) || original.live != restored.live || original.liveSize != restored.liveSize ||
			original.doneSize != restored.doneSize || original.forgotten != restored.forgotten {
			t.Fatal("the restored machine is another one")
		}
	})
}

func restoreFrom(t *rapid.T, to, from *Machine) {
	r, done := snapshotPipe(from)
	if err := to.Restore(r); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestASnapshotIsOfItsMomentWhileTheMachineGoesOn(t *testing.T) {
	h := lived(t)
	want := snapshotOf(t, h.m)
	taken := h.m.Snapshot()
	h.end(2, EndResult, "later")
	h.apply(&Forget{Count: 3})
	h.submit(Spec{})
	var got bytes.Buffer
	if _, err := taken.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Error("what happened after Snapshot is in it")
	}
}

func TestTheWireFormOfSnapshotsIsStable(t *testing.T) {
	golden(t, "snapshot.golden", hex.Dump(snapshotOf(t, lived(t).m)))
}

func TestASnapshotThatIsCutIsRefused(t *testing.T) {
	data := snapshotOf(t, lived(t).m)
	for n := 0; n < len(data); n += 1 + n/64 {
		if err := NewMachine(100).Restore(bytes.NewReader(data[:n])); err == nil {
			t.Fatalf("a snapshot cut to %d of %d bytes was restored", n, len(data))
		}
	}
	if err := NewMachine(100).Restore(iotest.OneByteReader(bytes.NewReader(data))); err != nil {
		t.Errorf("restore byte by byte: %v", err)
	}
}

func TestASnapshotOfAnotherVersionIsRefusedInWords(t *testing.T) {
	data := snapshotOf(t, lived(t).m)
	data[0] = snapshotVersion + 1
	if err := NewMachine(100).Restore(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "format version 2") {
		t.Errorf("got %v, want an error that names the version", err)
	}
}

func TestRestoreKeepsTheNewestEventsThatFit(t *testing.T) {
	h := lived(t)
	m := NewMachine(3)
	if err := m.Restore(bytes.NewReader(snapshotOf(t, h.m))); err != nil {
		t.Fatal(err)
	}
	if m.LastEvent() != h.m.LastEvent() || m.FirstEvent() != h.m.LastEvent()-2 {
		t.Errorf("events: got %d to %d, want the newest 3 up to %d", m.FirstEvent(), m.LastEvent(), h.m.LastEvent())
	}
}

// forged writes a snapshot of tasks, with the ids of those that are finished.
func forged(lastID uint64, tasks []*Task, finished ...uint64) []byte {
	var buf bytes.Buffer
	s := &snapshot{lastID: lastID, finished: finished}
	s.tasks.count = len(tasks)
	for i := range tasks { // in the order given, which put would not keep
		b := &block{pages: [blockPages]*page{{tasks: [pageSize]*Task{tasks[i]}}}}
		s.tasks.blocks = append(s.tasks.blocks, b)
	}
	s.WriteTo(&buf)
	return buf.Bytes()
}

func TestASnapshotThatContradictsItselfIsRefused(t *testing.T) {
	task := func(id uint64, s State) *Task {
		return &Task{Spec: &Spec{Type: "sum"}, ID: id, State: s, steps: []Step{{To: s}}}
	}
	for what, data := range map[string][]byte{
		"id 0":                         forged(9, []*Task{task(0, Queued)}),
		"an id not given out":          forged(9, []*Task{task(10, Queued)}),
		"the same task twice":          forged(9, []*Task{task(1, Queued), task(1, Queued)}),
		"tasks out of order":           forged(9000, []*Task{task(5000, Queued), task(1, Queued)}),
		"a task in no state":           forged(9, []*Task{task(1, None)}),
		"a task that rests in TIMEOUT": forged(9, []*Task{task(1, Timeout)}),
		"a task that rests in CREATED": forged(9, []*Task{task(1, Created)}),
		"an unknown state":             forged(9, []*Task{task(1, states)}),
		"finished, and is not":         forged(9, []*Task{task(1, Queued)}, 1),
		"finished, and is not there":   forged(9, nil, 1),
		"finished twice":               forged(9, []*Task{task(1, Failed), task(2, Failed)}, 1, 1),
		"more tasks than can be":       forged(1<<63, nil),
		"no history":                   forged(9, []*Task{{Spec: &Spec{Type: "sum"}, ID: 1, State: Retrying}}),
		"terminal, and not finished":   forged(9, []*Task{task(1, Failed), task(2, Failed)}, 1),
	} {
		if err := NewMachine(10).Restore(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: restored", what)
		}
	}
}

func TestDamagedDataCannotAskForMoreMemoryThanItIsLong(t *testing.T) {
	huge := func(n int) []byte { // a frame that says it is n bytes long, and is cut
		return append([]byte{snapshotVersion}, (&writer{}).number(uint64(n))...)
	}
	far := forged(1<<60, []*Task{{Spec: &Spec{Type: "sum"}, ID: 1, State: Queued}, {Spec: &Spec{Type: "sum"}, ID: 1 << 60, State: Queued}})
	labels := append([]byte{byte(kindSubmit), 0, 0, 0, 0, 0}, (&writer{}).number(1<<16)...)
	for what, restore := range map[string]func() error{
		"a frame that is cut": func() error { return NewMachine(10).Restore(bytes.NewReader(huge(maxFrame))) },
		"ids far apart":       func() error { return NewMachine(10).Restore(bytes.NewReader(far)) },
		"a list that is cut": func() error {
			_, err := decode(append(labels, make([]byte, 1<<16)...))
			return err
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := restore()
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 16<<20 {
			t.Errorf("%s: took %d bytes, error %v; want an error and at most 16 MiB", what, took, err)
		}
	}
}

func (w *writer) number(n uint64) []byte {
	w.uint(n)
	return w.buf
}

func TestWriteToReportsTheFirstError(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(io.ErrShortWrite)
	if _, err := lived(t).m.Snapshot().WriteTo(w); err != io.ErrShortWrite {
		t.Errorf("got %v, want %v", err, io.ErrShortWrite)
	}
}
