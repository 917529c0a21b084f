package virtual

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"taskgrid/client"
	"taskgrid/dispatcher"
	pb "taskgrid/proto/taskgrid/v1"
)

// fullJournal starts a grid whose journal takes one call at a time: what comes while another waits is refused.
func fullJournal(t *testing.T) (*Grid, *Dispatcher) {
	g := New(t)
	g.StartNameService()
	d := g.StartDispatcher(func(c *dispatcher.Config) { c.Journal.MaxPendingBytes = 1 })
	g.StartWorker("w", Builtin("reverse"))
	g.AwaitWorker("w")
	return g, d
}

func TestAFullJournalRefusesEachTaskInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := fullJournal(t)
		api := d.API()
		refused := 0
		for range 50 { // some meet a journal that has something pending
			r := openRun(t, t.Context(), api)
			for ref := range uint64(20) {
				r.submit(ref, &pb.TaskSpec{Type: "reverse", Payload: "ab"})
			}
			r.CloseSend()
			if err := r.rest(); err != nil || len(r.acks) != 20 {
				t.Fatalf("the stream ended with %v after %d acknowledgements of 20", err, len(r.acks))
			}
			for _, result := range r.acks {
				if result.Error != nil {
					refused++
					expectRefusal(t, "a full journal", result, codes.ResourceExhausted, "try again")
				}
			}
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
	})
}

func TestAFullJournalLosesNothingThatTheDispatcherDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := fullJournal(t)
		var mu sync.Mutex
		var ids []uint64
		Together(20, func(int) {
			c := g.NewClient(client.Config{})
			for range 20 {
				if id, err := c.Submit(g.Context(), &pb.TaskSpec{Type: "reverse", Payload: "ab"}); err == nil {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			}
		})
		for id, task := range g.Wait(ids...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED {
				t.Errorf("task %d ended %v", id, task.State)
			}
		}
		if lines := g.Log.Lines("were not proposed"); len(lines) > 0 {
			t.Errorf("decisions were dropped: %s", lines[0])
		}
		g.Status()
		g.History()
	})
}

// TestWhatAFullJournalRefusesIsNowhereAndTheRestIsThereForEver: more is submitted than a slow disk takes, and then the
// dispatcher is killed.
func TestWhatAFullJournalRefusesIsNowhereAndTheRestIsThereForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const payload, pending = 1000, 20_000
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher(func(c *dispatcher.Config) { c.Journal.MaxPendingBytes = pending })
		w := g.StartWorker("w", Builtin("reverse"))
		g.AwaitWorker("w")
		w.Stop()
		api, spec := d.API(), &pb.TaskSpec{Type: "reverse", Payload: strings.Repeat("x", payload)}
		d.Disk.Slow(time.Second)
		results := make([]*pb.SubmitResult, 50)
		Together(len(results), func(i int) { results[i] = submitAll(t, api, spec)[0] })
		accepted := map[uint64]bool{}
		for i, r := range results {
			if r.GetError() == nil {
				accepted[r.GetId()] = true
				continue
			}
			expectRefusal(t, "a full journal", results[i], codes.ResourceExhausted, "the journal cannot keep up", "try again later")
		}
		// As much again may be on its way to the disk, and does not count as pending any more.
		if n := len(accepted); n < pending/payload/2 || n > 2*pending/payload {
			t.Errorf("%d of %d tasks of %d bytes were accepted at the same time, where %d bytes may be pending", n, len(results), payload, pending)
		}
		d.Disk.Slow(0)
		accepted[submitAll(t, api, spec)[0].GetId()] = true // there is room again

		d.Kill()
		d.Restart()
		there := map[uint64]bool{}
		for task, err := range g.Client().List(g.Context(), &pb.ListTasksRequest{}) {
			if err != nil {
				t.Fatal(err)
			}
			there[task.Id] = true
		}
		if diff := cmp.Diff(accepted, there); diff != "" {
			t.Errorf("tasks after the restart (-accepted +there):\n%s", diff)
		}
		w.Restart()
		for id, task := range g.Wait(slices.Sorted(maps.Keys(accepted))...) {
			if task.State != pb.TaskState_TASK_STATE_COMPLETED {
				t.Errorf("task %d ended %v", id, task.State)
			}
		}
	})
}
