package workers

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "taskgrid/proto/taskgrid/v1"
)

// acknowledge reads until the stream ends, acknowledges what comes, and returns how the stream ended.
func (d *dispatcher) acknowledge() error {
	acked := map[Key]bool{}
	for {
		if err := d.read(); err != nil {
			return err
		}
		for k := range d.outcomes {
			if !acked[k] {
				acked[k] = true
				d.stream.Send(&pb.ProcessRequest{Acks: []*pb.OutcomeAck{{TaskId: k.Task, Attempt: k.Attempt}}})
			}
		}
	}
}

func TestDrainFinishesWhatRunsAndHandsBackWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, func(c *Config) { c.Window = 8 })
		d := g.dial()
		d.assign(task(1, "wait", "5"), task(2, "wait", "8"), task(3, "wait", "1"))
		d.until(func() bool { return len(d.started) == 2 })
		start := time.Now()
		g.term()
		synctest.Wait()
		d.assign(task(4, "echo", "too late"))
		if err := d.acknowledge(); err != nil && err.Error() != "EOF" {
			t.Errorf("the stream ended with %v", err)
		}
		if err := <-g.ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(start); took != 8*time.Second {
			t.Errorf("the drain took %s, want the 8 s of what ran", took)
		}
		if d.outcomes[first(1)].GetResult() != "waited 5s" || d.outcomes[first(2)].GetResult() != "waited 8s" {
			t.Errorf("outcomes %v", d.outcomes)
		}
		for _, k := range []Key{first(3), first(4)} {
			if d.refused[k] == "" || !d.leaving[k] {
				t.Errorf("refused %v, of which as one that drains %v: want the waiting and the new one", d.refused, d.leaving)
			}
		}
		if got, want := g.names.said(), []string{"register", "drain", "deregister"}; !slices.Equal(got, want) {
			t.Errorf("the name service heard %v, want %v", got, want)
		}
	})
}

func TestDrainHandsBackWhatDoesNotFinishInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "wait", "30"))
		d.until(func() bool { return len(d.started) == 1 })
		start := time.Now()
		g.term()
		d.acknowledge()
		if err := <-g.ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the drain took %s, want the grace of 10 s", took)
		}
		if d.refused[first(1)] == "" || len(d.outcomes) != 0 {
			t.Errorf("refused %v, outcomes %v: want the attempt handed back", d.refused, d.outcomes)
		}
	})
}

// The name service hears of the drain before the worker refuses anything, and of the end after all is told; heartbeats
// go on in between.
func TestDrainKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "wait", "5"))
		d.until(func() bool { return len(d.started) == 1 })
		beats := g.names.heartbeats()
		g.term()
		synctest.Wait()
		if got := g.names.said(); !slices.Equal(got, []string{"register", "drain"}) {
			t.Errorf("at the beginning of the drain the name service has heard %v", got)
		}
		d.until(d.answered(1))
		time.Sleep(time.Second) // the outcome is told but not acknowledged
		if g.names.entry("w1") == nil {
			t.Error("deregistered before the outcome was acknowledged")
		}
		if now := g.names.heartbeats(); now < beats+5 {
			t.Errorf("%d heartbeats in six seconds of drain", now-beats)
		}
		d.ack(first(1))
		if err := d.rest(); err != nil {
			t.Errorf("the stream ended with %v", err)
		}
		<-g.ended
		if g.names.entry("w1") != nil {
			t.Error("still registered at the end")
		}
	})
}

func TestANameServiceThatMissedTheDrainIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "wait", "5"))
		d.until(func() bool { return len(d.started) == 1 })
		g.names.setDown(true)
		g.term()
		synctest.Wait()
		g.names.setDown(false)
		time.Sleep(2 * time.Second)
		if got := g.names.said(); !slices.Equal(got, []string{"register", "drain"}) {
			t.Errorf("the name service has heard %v", got)
		}
		d.acknowledge()
	})
}

func TestANameServiceThatStartsDuringADrainIsToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "wait", "5"))
		d.until(func() bool { return len(d.started) == 1 })
		g.term()
		synctest.Wait()
		g.names.forget()
		time.Sleep(2 * time.Second)
		if entry := g.names.entry("w1"); entry == nil || !entry.Draining {
			t.Errorf("entered as %v, want draining", entry)
		}
		d.acknowledge()
	})
}

func TestDrainWithoutAnybodyIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		g.names.setDown(true)
		time.Sleep(time.Second)
		start := time.Now()
		if err := g.drained(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDrainLeavesAHandlerThatIgnoresItsContextBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		deaf := func(context.Context, string) (string, error) { <-free; return "", nil }
		g := newTestGrid(t, map[string]Handler{"deaf": deaf}, nil)
		d := g.dial()
		d.assign(task(1, "deaf", ""))
		d.until(func() bool { return len(d.started) == 1 })
		start := time.Now()
		g.term()
		d.acknowledge()
		if err := <-g.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 13*time.Second {
			t.Errorf("took %s", took)
		}
		if d.refused[first(1)] == "" {
			t.Error("the attempt was not handed back")
		}
		close(free)
	})
}

func TestHealthSaysNotServingWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		conn, err := grpc.NewClient("passthrough:///worker", pipeTo(g.listen), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		check := func(want healthpb.HealthCheckResponse_ServingStatus) {
			t.Helper()
			got, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil || got.Status != want {
				t.Errorf("health says %v, %v; want %v", got, err, want)
			}
		}
		d := g.dial()
		d.assign(task(1, "wait", "5"))
		d.until(func() bool { return len(d.started) == 1 })
		check(healthpb.HealthCheckResponse_SERVING)
		g.term()
		synctest.Wait()
		check(healthpb.HealthCheckResponse_NOT_SERVING)
		d.acknowledge()
	})
}

func TestAHandlerThatIgnoresItsDeadlineIsNamedAndKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		free := make(chan struct{})
		deaf := func(context.Context, string) (string, error) { <-free; return "late", nil }
		g := newTestGrid(t, map[string]Handler{"deaf": deaf}, func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&lines, nil))
		})
		d := g.dial()
		d.assign(task(7, "deaf", ""))
		d.until(func() bool { return len(d.started) == 1 })
		time.Sleep(2 * time.Minute)
		if load := g.worker.engine.load(); load.Running != 1 || load.Overdue != 1 {
			t.Errorf("a minute after the deadline: %+v, want the slot taken and overdue", load)
		}
		close(free)
		d.until(d.answered(1))
		g.drained()
		log := lines.String()
		if strings.Count(log, "ignores its deadline") != 1 {
			t.Errorf("want one line about the deadline in\n%s", log)
		}
	})
}

func TestEachLineAboutATaskNamesItInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		g := newTestGrid(t, testHandlers, func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		d := g.dial()
		a := task(7, "panic", "")
		a.RequestId = "the-request"
		d.assign(a)
		d.until(d.answered(1))
		g.drained()
		count := 0
		for line := range strings.Lines(lines.String()) {
			if !strings.Contains(line, `msg="attempt `) {
				continue
			}
			count++
			for _, want := range []string{"request_id=the-request", "task_id=7", "attempt=1", "worker_id=w1"} {
				if !strings.Contains(line, want) {
					t.Errorf("no %s in %s", want, line)
				}
			}
			if strings.Count(line, "worker_id=") != 1 {
				t.Errorf("worker_id more than once in %s", line)
			}
		}
		if count != 2 {
			t.Errorf("%d lines about the attempt, want one at its beginning and one at its end:\n%s", count, lines.String())
		}
		if !strings.Contains(lines.String(), "drain_test") && !strings.Contains(lines.String(), "worker_test.go") {
			t.Error("the stack of the panic is not in the log")
		}
	})
}
