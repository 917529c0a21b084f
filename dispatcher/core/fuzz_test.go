package core

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// A journal entry is under a checksum, so what the machine reads is what some version of this program wrote. These
// targets see to it that even damaged or foreign data ends in an error, not in a crash.

func FuzzDecode(f *testing.F) {
	for _, rec := range samples() {
		f.Add(Encode(rec))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := decode(data)
		if err != nil {
			return
		}
		again := Encode(rec)
		if len(again) > len(data) {
			t.Fatalf("%d bytes were read as %+v, which takes %d", len(data), rec, len(again))
		}
		if second, err := decode(again); err != nil || !bytes.Equal(Encode(second), again) {
			t.Fatalf("read as %+v, and read again as %+v, %v", rec, second, err)
		}
	})
}

// FuzzApply applies a list of records, each with its length in front, to a machine with a scheduler that follows it.
func FuzzApply(f *testing.F) {
	var all []byte
	for _, rec := range samples() {
		all = appendFramed(all, Encode(rec))
	}
	f.Add(all)
	f.Add(framed(&Submit{Spec: &Spec{Type: "a", MaxAttempts: 1, QueueTimeout: 1}}, &Expire{Task: 1}, &Forget{Count: 5}))
	f.Add(framed(&Submit{Spec: &Spec{Type: "a", Key: "k"}}, &Dispatch{Task: 1, Token: 1}, &Start{Task: 1, Token: 1}, &End{Task: 1, Token: 1, How: EndLost},
		&Requeue{Task: 1, Token: 1}, &Cancel{Task: 1}, &Submit{Spec: &Spec{Type: "a", Key: "k"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := NewMachine(16)
		l := lead(t, m, 1)
		for len(data) > 0 {
			n, used := binary.Uvarint(data)
			if used <= 0 || n > uint64(len(data)-used) {
				return
			}
			if _, err := m.Apply(data[used : used+int(n)]); err != nil {
				return
			}
			l.flush()
			data = data[used+int(n):]
		}
		restored := NewMachine(16)
		snapshot := snapshotOf(t, m)
		if err := restored.Restore(bytes.NewReader(snapshot)); err != nil {
			t.Fatalf("restore what records led to: %v", err)
		}
		if !bytes.Equal(snapshot, snapshotOf(t, restored)) {
			t.Fatal("the restored machine is another one")
		}
	})
}

func FuzzRestore(f *testing.F) {
	h := newHistory(f)
	f.Add(snapshotOf(f, h.m))
	a, b := h.submit(Spec{Key: "k", Labels: []Label{{"a", "b"}}}), h.submit(Spec{Type: "sum"})
	h.begin(a)
	h.begin(b)
	h.end(b, EndResult, "3")
	f.Add(snapshotOf(f, h.m))
	f.Add([]byte{})
	f.Add([]byte{snapshotVersion, 0xff, 0xff, 0xff, 0x1f})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := NewMachine(16)
		if err := m.Restore(bytes.NewReader(data)); err != nil {
			return
		}
		again := snapshotOf(t, m)
		if err := NewMachine(16).Restore(bytes.NewReader(again)); err != nil {
			t.Fatalf("restored, written and not restored: %v", err)
		}
		// Whatever stood in it, machine and scheduler work.
		lead(t, m, 9).pass(time.Second)
		if _, err := m.Apply(Encode(&Submit{Spec: &Spec{Type: "a", Key: "k"}})); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(Encode(&Forget{Count: 1 << 40})); err != nil {
			t.Fatal(err)
		}
	})
}

func framed(recs ...record) (data []byte) {
	for _, rec := range recs {
		data = appendFramed(data, Encode(rec))
	}
	return data
}

func appendFramed(data, rec []byte) []byte {
	return append(binary.AppendUvarint(data, uint64(len(rec))), rec...)
}
