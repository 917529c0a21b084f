//go:build unix

package process

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"taskgrid/tests/grid"
)

// TestTheGapOfAFailoverIsShort kills the leader again and again and measures the longest time between two
// acknowledgements of one caller who submits one task after the other. Its bound is for a machine that does ten other
// things at once; docs/replicas.md has what was measured on a quiet one.
func TestTheGapOfAFailoverIsShort(t *testing.T) {
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3, "--election-timeout", cmp.Or(os.Getenv("ELECTION_TIMEOUT"), "0s"))
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	rounds, during := 1, 1500*time.Millisecond // make chaos: 3, and longer
	if n, err := strconv.Atoi(os.Getenv("FAILOVERS")); err == nil && n > 0 {
		rounds, during = n, 4*time.Second
	}
	var gaps []time.Duration
	for range rounds {
		leader := cluster.Leader()
		var killing sync.WaitGroup
		killing.Go(func() {
			time.Sleep(200 * time.Millisecond)
			leader.Kill()
		})
		gaps = append(gaps, longestGap(t, c, during))
		killing.Wait()
		leader.Start()
		cluster.Leader()
	}
	slices.Sort(gaps)
	t.Logf("%d failovers: p50 %v, p90 %v, longest %v", rounds, gaps[rounds/2], gaps[rounds*9/10], gaps[rounds-1])
	if gaps[rounds-1] > 10*time.Second {
		t.Errorf("a failover took %v", gaps[rounds-1])
	}
}
