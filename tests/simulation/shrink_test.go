package simulation

import (
	"fmt"
	"strings"
	"testing"
)

// shrink looks for the fewest items of a seed's plan with which it still goes wrong, in whatever way: it leaves out
// ever smaller parts of them for as long as that helps (Zeller and Hildebrandt, "Simplifying and Isolating
// Failure-Inducing Input", 2002).
func shrink(seed uint64, b bug) (needed []int, w *world, plan []item) {
	fails := func(items []int, quiet bool) bool {
		in := map[int]bool{}
		for _, i := range items {
			in[i] = true
		}
		w, plan = simulate(seed, b, quiet, func(i int) bool { return in[i] })
		return w.referee.verdict != nil
	}
	_, plan = simulate(seed, b, true, all)
	for i := range plan {
		needed = append(needed, i)
	}
	for part := len(needed) / 2; part >= 1; {
		smaller := false
		for from := 0; from < len(needed); from += part {
			rest := append(append([]int{}, needed[:from]...), needed[min(from+part, len(needed)):]...)
			if fails(rest, true) {
				needed, smaller = rest, true
				from -= part
			}
		}
		if !smaller || part > len(needed) {
			part /= 2
		}
	}
	fails(needed, false)
	return needed, w, plan
}

// story tells what it takes for a seed to go wrong, and how it comes to that.
func story(seed uint64, b bug) string {
	needed, w, plan := shrink(seed, b)
	var s strings.Builder
	fmt.Fprintf(&s, "It takes %d of the %d things that happen:\n", len(needed), len(plan))
	for _, i := range needed {
		fmt.Fprintf(&s, "  after %v: %s\n", plan[i].at, plan[i].name)
	}
	fmt.Fprintf(&s, "and then %v. The end of the log:\n%s", w.referee.verdict, tail(w.log.Bytes(), 60))
	return s.String()
}

// TestAFailureIsShrunkToTheFewestFaultsAndTasks breaks the journal, lets the simulation find it, and looks at the story.
func TestAFailureIsShrunkToTheFewestFaultsAndTasks(t *testing.T) {
	for _, c := range []struct {
		bug  bug
		name string
		most int // items in the story
	}{{ackBeforeFsync, "ack before fsync", 6}, {anyHello, "anybody's Hello", 8}} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 2000; seed++ {
				if w, _ := simulate(seed, c.bug, true, all); w.referee.verdict == nil {
					continue
				}
				needed, w, plan := shrink(seed, c.bug)
				if w.referee.verdict == nil || len(needed) > c.most {
					t.Errorf("seed %d: of %d items %d remain, at most %d were expected; verdict %v\n%s", seed, len(plan), len(needed), c.most, w.referee.verdict, story(seed, c.bug))
				}
				t.Logf("seed %d\n%s", seed, story(seed, c.bug))
				return
			}
			t.Error("2,000 seeds did not find it")
		})
	}
}
