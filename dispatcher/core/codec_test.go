package core

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew; only for a new format version")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the wire form has changed: journals written before could not be read. A new form needs a new kind or format version (-was +is):\n%s", diff)
	}
}

// samples holds one record of each kind, with every field set.
func samples() []record {
	const at = Instant(1772352000000001)
	token := NewToken(3, 2)
	return []record{
		&Submit{At: at, Spec: &Spec{Type: "sum", Payload: "1,2", Key: "key", RequestID: "request", Labels: []Label{{"a", "1"}, {"b", ""}},
			AttemptTimeout: time.Minute, QueueTimeout: time.Hour, RetryOf: 300, MaxAttempts: 4, Priority: 9}},
		&Dispatch{At: at, Task: 70000, Token: token, WorkerID: "worker", LeaseID: "lease"},
		&Start{At: at, Task: 70000, Token: token},
		&End{At: at, Task: 70000, Token: token, Duration: 1500 * time.Millisecond, How: EndRetryable, Text: "a\x00ü", RetryAt: at + 1},
		&Requeue{At: at, Task: 70000, Token: token},
		&Expire{At: at, Task: 70000},
		&Cancel{At: at, Task: 70000, Reason: "why"},
		&KnownType{Type: "sum"},
		&WorkerChange{At: at, WorkerID: "worker", Aspect: "breaker", Before: "closed", After: "open", Reason: "why"},
		&Forget{Count: 12},
	}
}

func TestTheWireFormOfRecordsIsStable(t *testing.T) {
	var b strings.Builder
	for _, rec := range samples() {
		fmt.Fprintf(&b, "%T %s\n", rec, hex.EncodeToString(Encode(rec)))
	}
	golden(t, "records.golden", b.String())
}

func TestEverySampleSurvivesTheWire(t *testing.T) {
	for _, rec := range samples() {
		got, err := decode(Encode(rec))
		if err != nil {
			t.Errorf("decode %T: %v", rec, err)
		}
		if diff := cmp.Diff(rec, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%T (-wrote +read):\n%s", rec, diff)
		}
	}
}

func TestARecordThatIsCutOrTooLongIsRefused(t *testing.T) {
	for _, rec := range samples() {
		data := Encode(rec)
		for n := range data {
			if got, err := decode(data[:n]); err == nil {
				t.Errorf("%T cut to %d of %d bytes: read as %+v", rec, n, len(data), got)
			}
		}
		if got, err := decode(append(slices.Clone(data), 0)); err == nil {
			t.Errorf("%T with a byte too many: read as %+v", rec, got)
		}
	}
}

func TestWhatNoProgramOfThisVersionWritesIsRefusedInWords(t *testing.T) {
	end := Encode(&End{How: EndResult})
	unknownEnding := slices.Clone(end)
	unknownEnding[5] = byte(EndRefused) + 1
	tests := map[string]struct {
		data  []byte
		words string
	}{
		"nothing":             {nil, "in the middle of a field"},
		"kind 0":              {[]byte{0}, "unknown kind 0"},
		"kind 11":             {[]byte{11}, "unknown kind 11"},
		"number too large":    {append([]byte{byte(kindForget)}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"...), "64 bits"},
		"text too long":       {[]byte{byte(kindType), 0xff, 0xff, 0xff, 0x7f, 'a'}, "in the middle of a field"},
		"unknown ending":      {unknownEnding, "unknown ending 8"},
		"priority 10":         {Encode(&Submit{Spec: &Spec{Type: "sum", Priority: Priorities}}), "priority 10"},
		"a million of labels": {append([]byte{byte(kindSubmit), 0, 0, 0, 0, 0}, 0xc0, 0x84, 0x3d), "in the middle of a field"},
	}
	for what, tt := range tests {
		if _, err := decode(tt.data); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: got %v, want an error with %q", what, err, tt.words)
		}
	}
}

// Generators of what may stand in a record.
var (
	anyText    = rapid.OneOf(rapid.String(), rapid.Just(""), rapid.StringN(100, 300, -1))
	anyInstant = rapid.Map(rapid.Int64(), func(n int64) Instant { return Instant(n) })
	anySpan    = rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) })
	anyToken   = rapid.Map(rapid.Uint64(), func(n uint64) Token { return Token(n) })
	anyEnding  = rapid.Map(rapid.IntRange(int(EndResult), int(EndRefused)), func(n int) Ending { return Ending(n) })
	anyLabels  = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Label { return Label{anyText.Draw(t, "key"), anyText.Draw(t, "value")} }), 0, 5)
	anySpec    = rapid.Custom(func(t *rapid.T) *Spec {
		return &Spec{Type: anyText.Draw(t, "type"), Payload: anyText.Draw(t, "payload"), Key: anyText.Draw(t, "key"), RequestID: anyText.Draw(t, "request"),
			Labels: anyLabels.Draw(t, "labels"), AttemptTimeout: anySpan.Draw(t, "attempt timeout"), QueueTimeout: anySpan.Draw(t, "queue timeout"),
			RetryOf: rapid.Uint64().Draw(t, "retry of"), MaxAttempts: rapid.Uint32().Draw(t, "max attempts"), Priority: rapid.Int32Range(0, Priorities-1).Draw(t, "priority")}
	})
	anyRecord = rapid.Custom(func(t *rapid.T) record {
		at, task, token := anyInstant.Draw(t, "at"), rapid.Uint64().Draw(t, "task"), anyToken.Draw(t, "token")
		switch kind(rapid.IntRange(int(kindSubmit), int(kindForget)).Draw(t, "kind")) {
		case kindSubmit:
			return &Submit{At: at, Spec: anySpec.Draw(t, "spec")}
		case kindDispatch:
			return &Dispatch{At: at, Task: task, Token: token, WorkerID: anyText.Draw(t, "worker"), LeaseID: anyText.Draw(t, "lease")}
		case kindStart:
			return &Start{At: at, Task: task, Token: token}
		case kindEnd:
			return &End{At: at, Task: task, Token: token, Duration: anySpan.Draw(t, "duration"), How: anyEnding.Draw(t, "how"),
				Text: anyText.Draw(t, "text"), RetryAt: anyInstant.Draw(t, "retry at")}
		case kindRequeue:
			return &Requeue{At: at, Task: task, Token: token}
		case kindExpire:
			return &Expire{At: at, Task: task}
		case kindCancel:
			return &Cancel{At: at, Task: task, Reason: anyText.Draw(t, "reason")}
		case kindType:
			return &KnownType{Type: anyText.Draw(t, "type")}
		case kindWorker:
			return &WorkerChange{At: at, WorkerID: anyText.Draw(t, "worker"), Aspect: anyText.Draw(t, "aspect"),
				Before: anyText.Draw(t, "before"), After: anyText.Draw(t, "after"), Reason: anyText.Draw(t, "reason")}
		default:
			return &Forget{Count: rapid.Uint64().Draw(t, "count")}
		}
	})
)

func TestEveryRecordSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := anyRecord.Draw(t, "record")
		got, err := decode(Encode(rec))
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if diff := cmp.Diff(rec, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-wrote +read:\n%s", diff)
		}
	})
}

func TestADecodedRecordKeepsNothingOfTheData(t *testing.T) {
	data := Encode(&Cancel{Reason: "why"})
	rec, err := decode(data)
	clear(data)
	if err != nil || rec.(*Cancel).Reason != "why" {
		t.Errorf("got %+v, %v; want the reason as it was", rec, err)
	}
}
