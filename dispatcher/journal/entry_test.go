package journal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnEntryReadsBackAsWritten(t *testing.T) {
	for _, records := range [][]string{nil, {""}, {"a"}, {"a", "", strings.Repeat("x", 300)}} {
		h := entryHeader{kind: kindRecords, session: 7, number: 1 << 40}
		e := newEntry(h, 10)
		size := len(e)
		for _, r := range records {
			size += recordSize(len(r))
			e = appendRecord(e, []byte(r))
		}
		if len(e) > size {
			t.Errorf("%d records take %d bytes, recordSize promised at most %d", len(records), len(e), size)
		}
		got, parts, err := decodeEntry(e, nil)
		if err != nil || got != h {
			t.Fatalf("decodeEntry = %+v, %v; want %+v", got, err, h)
		}
		var back []string
		for _, p := range parts {
			back = append(back, string(p))
		}
		if diff := cmp.Diff(records, back); diff != "" {
			t.Errorf("records differ (-written +read):\n%s", diff)
		}
	}
}

func TestAMalformedEntryIsRefusedInWords(t *testing.T) {
	good := string(appendRecord(newEntry(entryHeader{kind: kindRecords}, 0), []byte("abc")))
	for _, c := range []struct{ name, entry, want string }{
		{"nothing", "", "empty"},
		{"another version", "\x02" + good[1:], "format version 2"},
		{"short header", good[:10], "10 bytes"},
		{"another kind", good[:1] + "\x09" + good[2:], "kind 9"},
		{"cut record", good[:len(good)-1], "record 0 does not fit"},
		{"endless length", good + strings.Repeat("\xff", 11), "record 1 does not fit"},
	} {
		_, _, err := decodeEntry([]byte(c.entry), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// FuzzDecodeEntry: whatever is decoded is what encoding its parts gives, but for the length of a length.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(newEntry(entryHeader{kind: kindOpening}, 0))
	f.Add(appendRecord(appendRecord(newEntry(entryHeader{kind: kindRecords, session: 3, number: 9}, 0), []byte("a")), nil))
	f.Add([]byte("\x01\x02 and so on, with a length of more than there is: \xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, records, err := decodeEntry(data, nil)
		if err != nil {
			return
		}
		again := newEntry(h, 0)
		for _, r := range records {
			again = appendRecord(again, r)
		}
		h2, records2, err := decodeEntry(again, nil)
		if err != nil || h2 != h || !cmp.Equal(records, records2) {
			t.Errorf("%x decodes to %+v %x, and these again to %+v %x, %v", data, h, records, h2, records2, err)
		}
	})
}
