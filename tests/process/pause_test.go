//go:build unix

package process

import (
	"context"
	"slices"
	"testing"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestAPausedNameServiceCallsNobodyOffline stops the name service for longer than the silence after which workers are
// OFFLINE.
func TestAPausedNameServiceCallsNobodyOffline(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	names := g.Nameservice("--heartbeat-interval", "500ms", "--unhealthy-after", "2s", "--offline-after", "3s", "--forget-after", "4s")
	g.Dispatcher()
	g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	goesOnThroughAPause(t, g, names, 5*time.Second)
}

// TestAPausedDispatcherAdoptsWhatWorkersRun stops the dispatcher until its workers have given up their streams.
func TestAPausedDispatcherAdoptsWhatWorkersRun(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	dispatcher := g.Dispatcher()
	g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	goesOnThroughAPause(t, g, dispatcher, 9*time.Second)
}

// goesOnThroughAPause stops a process while a task runs, and checks that the task goes on as if nothing had been.
func goesOnThroughAPause(t *testing.T, g *grid.Grid, p *grid.Process, pause time.Duration) {
	t.Helper()
	c := g.Direct()
	id := submit(t, c, 1, "wait", always((pause + 6*time.Second).String()))[0]
	inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	p.Pause()
	asleep, cancel := context.WithTimeout(t.Context(), pause)
	defer cancel()
	for task, err := range c.Wait(asleep, id) {
		if err == nil {
			t.Fatalf("the task is %v before the pause of %v is over", task.State, pause)
		}
	}
	p.Resume()
	task := waitAll(g.Context(), t, c, []uint64{id})[id]
	if want := []string{"CREATED", "QUEUED", "DISPATCHED", "PROCESSING", "COMPLETED"}; !slices.Equal(steps(task), want) {
		t.Errorf("the task went %v, want %v", steps(task), want)
	}
}
