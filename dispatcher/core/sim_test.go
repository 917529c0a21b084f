package core_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// How many seeds, and which: `go test -run Simulation -sim.seeds 100000`, or TASKGRID_SIM_SEEDS; a single one to replay
// it with its log: -sim.seed N.
var (
	simSeeds = flag.Int("sim.seeds", envSeeds(), "how many seeds to simulate")
	simFirst = flag.Uint64("sim.first", 1, "the first of them")
	simSeed  = flag.Uint64("sim.seed", 0, "simulate this one seed only, and print its log")
)

func envSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("TASKGRID_SIM_SEEDS")); err == nil {
		return n
	}
	return 2000
}

const (
	troubled = 40 * time.Second // how long things go wrong
	bound    = 10 * time.Minute // and how long it may take then until every task has ended
	settled  = 2 * time.Minute  // and until the last answer has come
)

// simulate runs one seed to its end.
func simulate(seed uint64) *world {
	w := newWorld(seed)
	never := func() bool { return false }
	w.clients.workload(troubled)
	w.chaos(troubled)
	w.run(start.Add(troubled), never)
	w.heal()
	w.run(w.now.Add(30*time.Second), never)
	w.run(w.now.Add(bound), func() bool { return len(w.referee.unfinished()) == 0 })
	w.say("all tasks have ended")
	w.run(w.now.Add(settled), never)
	if w.referee.verdict == nil {
		w.referee.conclude()
	}
	return w
}

// tail returns the last lines of a log.
func tail(log []byte, lines int) []byte {
	at := len(log)
	for ; lines >= 0 && at > 0; lines-- {
		at = bytes.LastIndexByte(log[:at], '\n')
	}
	return log[max(0, at+1):]
}

func TestSimulationKeepsEveryPromise(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(*simSeed)
		t.Logf("seed %d:\n%s", *simSeed, w.log.Bytes())
		if w.referee.verdict != nil {
			t.Fatal(w.referee.verdict)
		}
		return
	}
	seeds := *simSeeds
	if testing.Short() {
		seeds = min(seeds, 300)
	}
	tasks, ended := 0, map[string]int{}
	for seed := *simFirst; seed < *simFirst+uint64(seeds); seed++ {
		w := simulate(seed)
		if w.referee.verdict != nil {
			t.Fatalf("seed %d (replay with -sim.seed %d): %v\n%s", seed, seed, w.referee.verdict, tail(w.log.Bytes(), 60))
		}
		tasks += len(w.referee.tasks)
		for _, rec := range w.referee.tasks {
			ended[rec.state.String()]++
			ended[fmt.Sprintf("attempts: %d", rec.terminal.Attempt.Number())]++
		}
	}
	t.Logf("%d seeds, %d tasks: %v", seeds, tasks, ended)
	if seeds >= 1000 && (ended["COMPLETED"] < tasks/3 || ended["FAILED"] < tasks/100 || ended["CANCELLED"] < tasks/100) {
		t.Errorf("of %d tasks %v: too few of one kind to mean anything", tasks, ended)
	}
}

func TestTheSameSeedGivesTheSameLogByteForByte(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		a, b := simulate(seed).log.Bytes(), simulate(seed).log.Bytes()
		if !bytes.Equal(a, b) {
			i := 0
			for a[i] == b[i] {
				i++
			}
			t.Fatalf("seed %d differs from byte %d on:\n%s\nand\n%s", seed, i, tail(a[:i+100], 3), tail(b[:i+100], 3))
		}
	}
}
