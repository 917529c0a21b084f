package client

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWhetherACallIsTriedAgain(t *testing.T) {
	begin := time.Unix(0, 0)
	for _, tt := range []struct {
		name           string
		repeatable     bool
		failure        Failure
		after          time.Duration
		reached, heard bool
		want           bool
	}{
		{"an answer is final", true, Answered, 0, true, true, false},
		{"in doubt and repeatable", true, InDoubt, 0, true, true, true},
		{"in doubt and not repeatable", false, InDoubt, 0, true, true, false},
		{"not done and not repeatable", false, NotDone, 0, true, true, true},
		{"patience ends for a grid that never answered", true, NotDone, 3 * time.Second, false, false, false},
		{"more patience where a name service answers", true, NotDone, 3 * time.Second, false, true, true},
		{"though not for ever", true, NotDone, 11 * time.Second, false, true, false},
		{"no limit for a grid that answered before", true, NotDone, time.Hour, true, false, true},
	} {
		retry := Retry{Repeatable: tt.repeatable, Patience: 2 * time.Second, Started: begin}
		if _, again := retry.Next(begin.Add(tt.after), tt.failure, tt.reached, tt.heard, 0.5); again != tt.want {
			t.Errorf("%s: again = %v, want %v", tt.name, again, tt.want)
		}
	}
}

func TestPausesGrowToABoundAndBeginAnewAfterProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		retry := Retry{Repeatable: true}
		dice := rapid.Float64Range(0, 0.999).Draw(t, "dice")
		var pauses []time.Duration
		for range 20 {
			pause, again := retry.Next(time.Unix(0, 0), NotDone, true, false, dice)
			if !again || pause < firstPause/2 || pause > maxPause*3/2 {
				t.Fatalf("pause = %v, %v; want one between %v and %v", pause, again, firstPause/2, maxPause*3/2)
			}
			if n := len(pauses); n > 0 && pause < pauses[n-1] {
				t.Fatalf("pauses %v shrink to %v", pauses, pause)
			}
			pauses = append(pauses, pause)
		}
		retry.Progress()
		if pause, _ := retry.Next(time.Unix(0, 0), NotDone, true, false, dice); pause != pauses[0] {
			t.Fatalf("after progress the pause is %v, want %v again", pause, pauses[0])
		}
	})
}

// TestAFlightEndsEachTaskOnce sends random acknowledgements, ends and new connections at a Flight, and checks it
// against a plain set.
func TestAFlightEndsEachTaskOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flight := NewFlight[uint64]()
		ended := map[uint64]int{} // how often each ref ended
		var added uint64
		t.Repeat(map[string]func(*rapid.T){
			"add": func(*rapid.T) {
				added++
				if ref := flight.Add(added); ref != added {
					t.Fatalf("Add = %d, want %d", ref, added)
				}
			},
			"accept": func(t *rapid.T) {
				ref := rapid.Uint64Range(0, added+1).Draw(t, "ref")
				// Two refs may share an id, and a dispatcher that forgot a task gives its ref another one.
				flight.Accepted(ref, rapid.Uint64Range(1, added/2+2).Draw(t, "id"))
			},
			"refuse": func(t *rapid.T) {
				ref := rapid.Uint64Range(0, added+1).Draw(t, "ref")
				if task, ok := flight.Refused(ref); ok {
					ended[task]++
				}
			},
			"end": func(t *rapid.T) {
				for _, task := range flight.Ended(rapid.Uint64Range(0, added/2+2).Draw(t, "id")) {
					if task == 0 {
						t.Fatal("something ended that was not out")
					}
					ended[task]++
				}
			},
			"": func(t *rapid.T) {
				var want []uint64
				for ref := uint64(1); ref <= added; ref++ {
					if ended[ref] > 1 {
						t.Fatalf("ref %d ended %d times", ref, ended[ref])
					}
					if ended[ref] == 0 {
						want = append(want, ref)
					}
				}
				if diff := cmp.Diff(want, flight.Unfinished()); diff != "" {
					t.Fatalf("unfinished (-want +got):\n%s", diff)
				}
				if len(flight.ids) > flight.Len() || len(flight.refs) > flight.Len() {
					t.Fatalf("%d are out, but %d ids and %d refs are kept", flight.Len(), len(flight.ids), len(flight.refs))
				}
			},
		})
	})
}
