package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// TestAStreamThatWasGivenUpTakesNobodysPlace: a worker left the directory and came back, and was dialled again. The Hello of
// the first stream has arrived already, and is looked at when the second stream stands. (Seed 763789 of the simulation found
// what happens otherwise: the worker is left without a stream for ever.)
func TestAStreamThatWasGivenUpTakesNobodysPlace(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Logger, cfg.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cfg.Journal.ID, cfg.Journal.Directory = "d1", t.TempDir()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w := core.WorkerInfo{ID: "w1", LeaseID: "lease", Address: "192.0.2.1:50060", Types: []string{"reverse"}, Capacity: 1, State: core.WorkerActive}
	d.updateView(func(v *core.View) { v.Update("ns", true, true, []core.WorkerInfo{w}, nil) })
	d.takeUp(1)
	hello := &pb.Hello{WorkerId: "w1", LeaseId: "lease"}
	first, giveUp := context.WithCancel(t.Context())
	giveUp()
	second, err := d.connect(t.Context(), w, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.connect(first, w, hello); !errors.Is(err, context.Canceled) {
		t.Errorf("the Hello of a stream that was given up: got error %v, want that it is cancelled", err)
	}
	var answer []core.Message
	d.step(func(s *core.Scheduler) {
		s.Outcome(second.link, core.Outcome{Task: 1, Token: 1, How: core.EndResult})
		answer = s.Outbox(second.link, nil)
	})
	if len(answer) != 1 || answer[0].Kind != core.Acknowledge {
		t.Errorf("an outcome on the second stream: got %v, want that it is acknowledged there", answer)
	}
}
