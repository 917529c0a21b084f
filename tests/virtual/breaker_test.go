package virtual

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

// breakerSteps returns the changes of a worker's breaker, in order.
func breakerSteps(t *testing.T, g *Grid, worker string) (steps []string) {
	t.Helper()
	for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if w := e.GetWorker(); w.GetWorkerId() == worker && w.Aspect == "breaker" {
			steps = append(steps, w.From+" -> "+w.To)
		}
	}
	return steps
}

func breakerState(g *Grid) pb.BreakerState { return g.Status().Workers[0].Breaker }

// silent is a task whose attempts time out after a second, unless they are answered.
var silent = &pb.TaskSpec{Type: "echo", AttemptTimeout: durationpb.New(time.Second), MaxAttempts: 100}

func TestABreakerOpensAfterFaultsAndClosesAfterAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		p := g.StartPuppet("p", "echo")
		table.List(p.Entry)
		line := p.Answer()
		g.AwaitWorker("p")
		id := g.SubmitSpec(silent)
		for range 3 { // timeouts in a row
			line.Start(line.Assigned())
		}
		opened := g.AwaitChange(0, "p", "breaker", "open")
		if s := breakerState(g); s != pb.BreakerState_BREAKER_STATE_OPEN {
			t.Errorf("status: %v, want OPEN", s)
		}
		half := g.AwaitChange(opened.Sequence, "p", "breaker", "half-open")
		if !line.Idle() && half.Time.AsTime().Sub(opened.Time.AsTime()) < 5*time.Second {
			t.Error("an open breaker let an assignment through")
		}
		if took := half.Time.AsTime().Sub(opened.Time.AsTime()); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("half-open after %v, want the breaker's pause of 5s", took)
		}
		probe := line.Assigned()
		second := g.Submit("echo", "y")
		synctest.Wait()
		if !line.Idle() {
			t.Error("a half-open breaker let a second assignment through beside the probe")
		}
		line.Start(probe)
		line.Result(probe, "x")
		a := line.Assigned() // the worker gets tasks again
		line.Start(a)
		line.Result(a, "y")
		g.Wait(id, second)
		want := []string{"closed -> open", "open -> half-open", "half-open -> closed"}
		if got := breakerSteps(t, g, "p"); len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("the breaker went %v, want %v", got, want)
		}
		if s := breakerState(g); s != pb.BreakerState_BREAKER_STATE_CLOSED {
			t.Errorf("status: %v, want CLOSED", s)
		}
		g.History()
	})
}

func TestAProbeThatFailsOpensTheBreakerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		p := g.StartPuppet("p", "echo")
		table.List(p.Entry)
		line := p.Answer()
		g.AwaitWorker("p")
		id := g.SubmitSpec(silent)
		half := g.AwaitChange(0, "p", "breaker", "half-open")
		again := g.AwaitChange(half.Sequence, "p", "breaker", "open")
		if took := again.Time.AsTime().Sub(half.Time.AsTime()); took > 20*time.Second {
			t.Errorf("the probe failed after %v", took)
		}
		g.AwaitChange(again.Sequence, "p", "breaker", "half-open")
		for range 5 {
			if a := line.Assigned(); line.Idle() {
				line.Start(a)
				line.Result(a, "x") // all but the last are too late
			}
		}
		if task := g.WaitOne(id); task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("got %v", task)
		}
	})
}

func TestErrorsOfTasksAreNoFaultsOfTheirWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := Start(t, "sum", "wait")
		var ids []uint64
		for range 20 {
			ids = append(ids, g.Submit("sum", "no number"))
		}
		g.Wait(ids...)
		for range 5 { // our own cancels
			id := g.Submit("wait", "100")
			g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
			g.Client().Cancel(g.Context(), "", id)
		}
		time.Sleep(time.Second)
		for _, worker := range []string{"w-sum", "w-wait"} {
			if steps := breakerSteps(t, g, worker); len(steps) != 0 {
				t.Errorf("the breaker of %s went %v", worker, steps)
			}
		}
	})
}

func TestOneWorkersBreakerIsNotAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		table := g.StartNameTable()
		g.StartDispatcher()
		bad, good := g.StartPuppet("bad", "echo"), g.StartPuppet("good", "echo")
		table.List(bad.Entry)
		bad.Answer()
		g.AwaitWorker("bad")
		id := g.SubmitSpec(silent)
		g.AwaitChange(0, "bad", "breaker", "open")
		table.List(bad.Entry, good.Entry)
		line := good.Answer()
		a := line.Assigned()
		line.Start(a)
		line.Result(a, "x")
		if task := g.WaitOne(id); task.WorkerId != "good" {
			t.Errorf("got %v", task)
		}
		if steps := breakerSteps(t, g, "good"); len(steps) != 0 {
			t.Errorf("the good worker's breaker went %v", steps)
		}
	})
}
