package journal

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatNobodyWaitsForGoesWithWhatSomebodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, log := inMemory()
		sm := new(book)
		j := start(t, cfg, sm)
		j.lead()
		if err := j.Append([][]byte{[]byte("a")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(log.entries); n != 0 {
			t.Fatalf("an appended record was written at once, in %d entries", n)
		}
		if _, err := j.write("b"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{2}, log.entries); diff != "" {
			t.Errorf("records in each entry (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"a", "b"}, sm.all()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	})
}

func TestWhatNobodyWaitsForWaitsNoLongerThanLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := inMemory()
		sm := new(book)
		j := start(t, cfg, sm)
		j.lead()
		for i := range 3 { // the second and the third come while the timer of an earlier one still runs
			record := fmt.Sprint(i)
			if err := j.Append([][]byte{[]byte(record)}); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if _, err := j.write("now"); err != nil {
					t.Fatal(err)
				}
				continue
			}
			time.Sleep(linger - time.Microsecond)
			if all := sm.all(); len(all) > 0 && all[len(all)-1] == record {
				t.Errorf("record %d was written before linger was over", i)
			}
			time.Sleep(time.Microsecond)
			synctest.Wait()
			if all := sm.all(); len(all) == 0 || all[len(all)-1] != record {
				t.Errorf("after linger: applied %v, want record %d at the end", all, i)
			}
		}
	})
}
