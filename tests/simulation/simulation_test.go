package simulation

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 100, "how many seeds to simulate")
	first = flag.Uint64("first", 1, "the first of them")
	seed  = flag.Uint64("seed", 0, "simulate this one seed only, and print its log")
)

const (
	troubled = 40 * time.Second // how long things go wrong
	bound    = 10 * time.Minute // and how long it may take then until every task has ended
	settled  = 90 * time.Second // and until the last answer has come
)

// bug is something wrong with the grid on purpose.
type bug int

const (
	none           bug = iota
	ackBeforeFsync     // the journal says that it is durable, and it is not
	anyHello           // whoever answers at a worker's address is taken for it
)

// simulate runs a seed to its end, without the items of its plan that keep says no to.
func simulate(seed uint64, b bug, quiet bool, keep func(i int) bool) (w *world, plan []item) {
	w = newWorld(seed, b)
	w.quiet = quiet
	plan = w.plan(troubled)
	submitted := 0
	for i, it := range plan {
		if !keep(i) {
			continue
		}
		if i < len(w.referee.errands) {
			submitted++
		}
		w.after(it.at, func() {
			w.say("-- %s", it.name)
			it.do()
		})
	}
	never := func() bool { return false }
	w.run(start.Add(troubled), never)
	w.heal()
	w.run(w.now.Add(30*time.Second), never)
	w.run(w.now.Add(bound), func() bool { return len(w.referee.unfinished()) == 0 })
	w.say("all tasks have ended")
	w.run(w.now.Add(settled), never)
	if w.referee.verdict == nil {
		w.referee.conclude(submitted)
	}
	return w, plan
}

func all(int) bool { return true }

// TestSimulationKeepsEveryPromise runs many seeds, as many at a time as there are processors.
func TestSimulationKeepsEveryPromise(t *testing.T) {
	if *seed != 0 {
		w, _ := simulate(*seed, none, false, all)
		t.Logf("seed %d:\n%s", *seed, w.log.Bytes())
		if w.referee.verdict != nil {
			t.Fatal(w.referee.verdict)
		}
		return
	}
	count := *seeds
	tally := tally{ended: map[string]int{}}
	var group sync.WaitGroup
	var next atomic.Uint64
	next.Store(*first)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for s := next.Add(1) - 1; s < *first+uint64(count) && !t.Failed(); s = next.Add(1) - 1 {
				w, _ := simulate(s, none, true, all)
				if w.referee.verdict != nil {
					t.Errorf("seed %d (make simulate SEED=%d): %v\n%s", s, s, w.referee.verdict, story(s, none))
				}
				tally.add(w)
			}
		})
	}
	group.Wait()
	t.Logf("%d seeds, %d tasks: %v", count, tally.tasks, tally.ended)
	if count >= 1000 && (tally.ended["COMPLETED"] < tally.tasks/3 || tally.ended["FAILED"] < tally.tasks/100 || tally.ended["CANCELLED"] < tally.tasks/100) {
		t.Errorf("of %d tasks %v: too few of one kind to mean anything", tally.tasks, tally.ended)
	}
}

// tally counts how tasks ended.
type tally struct {
	mu    sync.Mutex
	tasks int
	ended map[string]int
}

func (y *tally) add(w *world) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.tasks += len(w.referee.tasks)
	for _, rec := range w.referee.tasks {
		y.ended[rec.state.String()]++
		if rec.terminal != nil {
			y.ended[fmt.Sprintf("attempts: %d", rec.terminal.Attempt.Number())]++
		}
	}
}

func TestTheSameSeedGivesTheSameLogByteForByte(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		one, _ := simulate(seed, none, false, all)
		two, _ := simulate(seed, none, false, all)
		a, b := one.log.Bytes(), two.log.Bytes()
		if !bytes.Equal(a, b) {
			i := 0
			for a[i] == b[i] {
				i++
			}
			t.Fatalf("seed %d differs from byte %d on:\n%s\nand\n%s", seed, i, tail(a[:i+100], 3), tail(b[:i+100], 3))
		}
	}
}

// tail returns the last lines of a log.
func tail(log []byte, lines int) []byte {
	at := len(log)
	for ; lines >= 0 && at > 0; lines-- {
		at = bytes.LastIndexByte(log[:at], '\n')
	}
	return log[max(0, at+1):]
}
