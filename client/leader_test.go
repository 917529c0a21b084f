package client_test

import (
	"testing"
	"time"

	"taskgrid/client"
	"taskgrid/client/fakegrid"
)

func TestTheClientFollowsTheLeader(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		if _, err := c.Submit(t.Context(), spec("a")); err != nil {
			t.Fatal(err)
		}
		successor := fakegrid.NewDispatcher(w.grid)
		t.Cleanup(w.net.Serve(otherAddress, successor, nil))
		w.leader.Follow(otherAddress) // the name service has not heard of it yet
		begin := time.Now()
		if _, err := c.Submit(t.Context(), spec("b")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("following the hint took %v, want well below a second", took)
		}
		if calls := successor.Calls(); len(calls) != 1 {
			t.Errorf("the leader got %q, want one submission", calls)
		}
	})
}

func TestAWaitMovesToANewLeader(t *testing.T) {
	inGrid(t, func(t *testing.T, w *world, c *client.Client) {
		w.grid.Hold()
		id, err := c.Submit(t.Context(), spec("a"))
		if err != nil {
			t.Fatal(err)
		}
		successor := fakegrid.NewDispatcher(w.grid)
		t.Cleanup(w.net.Serve(otherAddress, successor, nil))
		w.others.Go(func() {
			time.Sleep(time.Second)
			w.stop()
			time.Sleep(time.Second)
			w.names.Announce("d2", otherAddress, 2)
			time.Sleep(2 * time.Second)
			w.grid.Release()
		})
		begin := time.Now()
		for task, err := range c.Wait(t.Context(), id) {
			if err != nil || task.GetResult() != "A" {
				t.Fatalf("Wait = %v, %v", task, err)
			}
		}
		if took := time.Since(begin); took > 4100*time.Millisecond {
			t.Errorf("the task ended after 4s, the wait after %v", took)
		}
	})
}
