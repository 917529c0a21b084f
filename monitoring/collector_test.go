package monitoring

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestBeforeTheFirstAnswersAllSourcesAreMissing(t *testing.T) {
	c := NewCollector(nil, nil, time.Second, nil)
	want := []string{"dispatcher: not asked yet", "nameservice: not asked yet"}
	if got := c.Latest().Missing; !slices.Equal(got, want) {
		t.Errorf("missing of a new collector: got %q, want %q", got, want)
	}
}

func TestAHungDispatcherDelaysNothingOfTheNameService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) { d.hung = true })
		g.names.set(func(n *fakeNameService) { n.asked = 0 })
		time.Sleep(20 * testInterval)
		synctest.Wait()
		g.names.set(func(n *fakeNameService) {
			if n.asked < 20 {
				t.Errorf("20 intervals with a hung dispatcher: the name service was asked %d times", n.asked)
			}
		})
		if got := g.collector.Latest().Missing; !slices.Equal(got, []string{"dispatcher: no answer in time"}) {
			t.Errorf("missing: got %q, want the dispatcher", got)
		}
	})
}

func TestAHungNameServiceDelaysNothingOfTheDispatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.names.set(func(n *fakeNameService) { n.hung = true })
		g.dispatcher.set(func(d *fakeDispatcher) { d.asked = 0 })
		time.Sleep(20 * testInterval)
		synctest.Wait()
		g.dispatcher.set(func(d *fakeDispatcher) {
			if d.asked < 20 {
				t.Errorf("20 intervals with a hung name service: the dispatcher was asked %d times", d.asked)
			}
		})
	})
}

func TestASourceThatDiesIsMissingWithItsLastWordsAndReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 5, Completed: 5} })
		g.names.set(func(n *fakeNameService) { n.workers = []*pb.Worker{worker("w1", "ACTIVE", "hash")} })
		g.collect()
		g.kill()
		g.killNames()
		g.collect()
		s := g.collector.Latest()
		want := []string{"dispatcher: connection refused", "nameservice " + nsAddress + ": connection refused"}
		if diff := cmp.Diff(want, s.Stats.Missing); diff != "" {
			t.Errorf("missing while both are dead (-want +got):\n%s", diff)
		}
		if s.Stats.Tasks.Completed != 5 || s.Stats.Workers.Registered != 1 || s.DispatcherUp || s.NameServiceUp {
			t.Errorf("while both are dead: got %+v, want their last words", s.Stats)
		}
		g.startDispatcher()
		g.network.serve(t, nsAddress, (&fakeNameService{epoch: "b"}).register) // restarted, and empty
		time.Sleep(4 * time.Second)                                            // the longest pause between two connects, and some intervals
		synctest.Wait()
		s = g.collector.Latest()
		if len(s.Missing) > 0 || !s.DispatcherUp || !s.NameServiceUp || s.Stats.Workers.Registered != 0 {
			t.Errorf("after both returned: missing %q, registered %d; want none and 0", s.Missing, s.Stats.Workers.Registered)
		}
	})
}

func TestOneNameServiceOfTwoTellsAllThatBothKnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress+","+ns2Address)
		second := &fakeNameService{epoch: "b", workers: []*pb.Worker{worker("w1", "UNHEALTHY", "hash"), worker("w2", "ACTIVE", "sum")}}
		kill := g.network.serve(t, ns2Address, second.register)
		g.names.set(func(n *fakeNameService) { n.workers = []*pb.Worker{worker("w1", "ACTIVE", "hash")} })
		g.collect()
		s := g.collector.Latest()
		if got := s.Stats.Workers; got.Registered != 2 || got.Active != 2 {
			t.Errorf("two name services: got %+v, want 2 workers, both ACTIVE", got)
		}
		var ids []string
		for _, w := range s.proto().GetNameservice().GetWorkers() {
			ids = append(ids, w.GetWorkerId()+" "+w.GetState().String())
		}
		if want := []string{"w1 WORKER_STATE_ACTIVE", "w2 WORKER_STATE_ACTIVE"}; !slices.Equal(ids, want) {
			t.Errorf("workers in GetStats: got %q, want %q", ids, want)
		}
		kill()
		g.collect()
		s = g.collector.Latest()
		if !s.NameServiceUp || len(s.Missing) != 1 || !strings.Contains(s.Missing[0], ns2Address) {
			t.Errorf("with one of two dead: up %v, missing %q; want up, and the dead one missing", s.NameServiceUp, s.Missing)
		}
		if got := s.Stats.Workers.Registered; got != 1 {
			t.Errorf("registered with the living one: got %d, want 1", got)
		}
	})
}

func TestAReplicaThatDoesNotLeadIsNotEnough(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) {
			d.status.Raft = &pb.RaftStatus{Id: "d2", State: "follower", Leader: "d1", Term: 4}
			d.status.Tasks = &pb.TaskCounts{Submitted: 1, Queued: 1}
		})
		g.collect()
		s := g.collector.Latest()
		if want := []string{"dispatcher: d2 answers, but does not lead"}; !slices.Equal(s.Missing, want) || s.DispatcherUp {
			t.Errorf("asking a follower: missing %q, up %v, want %q", s.Missing, s.DispatcherUp, want)
		}
		if s.Stats.Tasks.Queued != 1 || s.Stats.Dispatcher.Leader != "d1" {
			t.Errorf("asking a follower: got %+v, want what it knows", s.Stats)
		}
		g.dispatcher.mu.Lock()
		defer g.dispatcher.mu.Unlock()
		if g.dispatcher.listed == nil {
			t.Error("no call was made that would be answered with a hint at the leader")
		}
	})
}

func TestCountsThatDoNotAddUpAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 3, Queued: 2, Forgotten: 1} })
		g.collect()
		if got := g.collector.violations.Load(); got != 0 {
			t.Fatalf("violations of counts that add up: got %d, want 0", got)
		}
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 3, Queued: 2} })
		g.collect()
		if g.collector.violations.Load() == 0 {
			t.Error("violations after 3 submitted, 2 queued, none elsewhere: got 0")
		}
	})
}

func TestASnapshotIsReplacedAndNeverChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.collect()
		old := g.collector.Latest()
		before := old.Stats
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 1, Queued: 1} })
		<-old.Replaced()
		g.collect()
		if diff := cmp.Diff(before, old.Stats); diff != "" {
			t.Errorf("an old snapshot changed:\n%s", diff)
		}
	})
}
