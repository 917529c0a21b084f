//go:build unix

package process

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestSIGTERMHandsLeadershipOver measures the gap that a leader leaves which is told to end.
func TestSIGTERMHandsLeadershipOver(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	next := cluster.Followers()[0].ID
	if out := transfer(t, g, next); !strings.Contains(out, next) {
		t.Errorf("raft transfer %s printed %q", next, out)
	}
	transfer(t, g)
	for try := 1; ; try++ { // a follower that is starved for half a second does not take over
		leader := cluster.Leader()
		leader.Terminate()
		gap := longestGap(t, c, 2*time.Second)
		if code := leader.Exited(); code != 0 {
			t.Errorf("the leader ended with %d, want 0", code)
		}
		if strings.Contains(leader.Log(), "leadership was handed over") {
			t.Logf("longest time between two acknowledgements: %v", gap.Round(time.Millisecond))
			return
		}
		if try == 3 {
			t.Fatal("it did not hand leadership over")
		}
		leader.Start()
		awaitMembers(g, map[string]string{"d1": "up", "d2": "up", "d3": "up"})
	}
}

// longestGap submits one task after the other for a while, at most 50 a second, and returns the longest time between two
// acknowledgements.
func longestGap(t *testing.T, c *client.Client, during time.Duration) (gap time.Duration) {
	t.Helper()
	begin := time.Now()
	for last := begin; time.Since(begin) < during; {
		if _, err := c.Submit(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"}); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		gap, last = max(gap, now.Sub(last)), now
		time.Sleep(20 * time.Millisecond)
	}
	return gap
}

// TestARollingUpgradeLosesNothing starts each of three dispatchers again as another build, under load.
func TestARollingUpgradeLosesNothing(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	next := grid.Build(t, "taskgrid/cmd/taskgrid", "-ldflags", "-X main.version=v9.9.9")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const callers = 4
	submitted := make(chan []uint64, callers)
	var accepted atomic.Int64
	for n := range callers {
		go func() {
			var ids []uint64
			defer func() { submitted <- ids }()
			for ctx.Err() == nil {
				id, err := c.Submit(t.Context(), &pb.TaskSpec{Type: "hash", Payload: fmt.Sprint(n, " ", len(ids))})
				if err != nil {
					t.Error(err)
					return
				}
				ids = append(ids, id)
				accepted.Add(1)
				time.Sleep(25 * time.Millisecond) // of each caller, at most forty a second
			}
		}()
	}
	want := map[string]string{"d1": "up", "d2": "up", "d3": "up"}
	for _, r := range append(cluster.Followers(), cluster.Leader()) {
		enough := accepted.Load() + 10
		g.Eventually("tasks are accepted", func(context.Context) error {
			if n := accepted.Load(); n < enough {
				return fmt.Errorf("%d of %d are", n, enough)
			}
			return nil
		})
		r.Terminate()
		if code := r.Exited(); code != 0 {
			t.Errorf("%s ended with %d", r.ID, code)
		}
		r.StartAs(next)
		awaitMembers(g, want)
	}
	g.Eventually("all are of the new version", func(context.Context) error {
		all, err := members(g)
		for id, m := range all {
			if m.Version != "v9.9.9" {
				return fmt.Errorf("%s has version %q", id, m.Version)
			}
		}
		return err
	})
	stop()
	var ids []uint64
	for range callers {
		ids = append(ids, <-submitted...)
	}
	for id, task := range waitAll(g.Context(), t, c, ids) {
		if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 {
			t.Errorf("task %d is %v after %d attempts, want COMPLETED after 1", id, task.State, task.Attempts)
		}
	}
	t.Logf("%d tasks during the upgrade", len(ids))
}
