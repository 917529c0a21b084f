package journal

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// TestALogWhoseEndWasTakenBackIsReadAfterARestart: a leader that dies with entries that nobody else has takes them back
// when it returns, and is started once more.
func TestALogWhoseEndWasTakenBackIsReadAfterARestart(t *testing.T) {
	dir := t.TempDir()
	var d *diskLog
	reopen := func() {
		t.Helper()
		if d != nil {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if d, err = openDiskLog(dir, 1<<20, hclog.NewNullLogger()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(from, to, term uint64) {
		t.Helper()
		for i := from; i <= to; i++ {
			if err := d.StoreLog(&raft.Log{Index: i, Term: term, Data: fmt.Appendf(nil, "%d of term %d", i, term)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	reopen()
	write(1, 10, 1)
	for _, back := range []uint64{8, 5, 5} { // in the file that is open, in one before it, and all of one
		if err := d.DeleteRange(back, 10); err != nil {
			t.Fatal(err)
		}
		reopen()
		write(back, 10, 2)
		reopen()
	}
	for i := uint64(1); i <= 10; i++ {
		want := fmt.Sprintf("%d of term %d", i, map[bool]int{true: 1, false: 2}[i < 5])
		var l raft.Log
		if err := d.GetLog(i, &l); err != nil || string(l.Data) != want {
			t.Errorf("entry %d: %q, %v; want %q", i, l.Data, err, want)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
