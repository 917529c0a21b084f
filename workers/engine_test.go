package workers

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newTestEngine returns an engine for echo with one slot and a window, whose executors do not run: what it is offered waits.
func newTestEngine() *engine {
	cfg := Config{
		Handlers: map[string]Handler{"echo": echo}, Capacity: 1, Window: 10, MaxResult: 64 << 10,
		Log: slog.New(slog.DiscardHandler),
	}
	return newEngine(cfg, newMetrics(prometheus.NewRegistry(), cfg.Handlers))
}

func offers(ids ...uint64) (list []*Attempt) {
	for _, id := range ids {
		list = append(list, &Attempt{Key: first(id), Type: "echo", Deadline: time.Now().Add(time.Hour)})
	}
	return list
}

// attach begins a stream of a dispatcher that does not say who it is.
func attach(t *testing.T, e *engine) (*session, greeting) {
	t.Helper()
	s, g, err := e.attach(leader{})
	if err != nil {
		t.Fatal(err)
	}
	return s, g
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// An assignment that was under way on the old stream when Hello went out on the new one is not named there, so the
// dispatcher hands it over anew: the old one must not run too.
func TestMessagesOfAStreamThatWasTakenOverDoNotCount(t *testing.T) {
	e := newTestEngine()
	old, _ := attach(t, e)
	if !e.receive(old, offers(1), nil, nil) {
		t.Fatal("the current stream does not count")
	}
	_, greeting := attach(t, e)
	if len(greeting.held) != 1 {
		t.Errorf("the greeting names %v, want the one attempt", greeting.held)
	}
	if e.receive(old, offers(2), []Key{first(1)}, nil) {
		t.Error("the old stream still counts")
	}
	if load := e.load(); load.Waiting != 1 {
		t.Errorf("%d attempts wait, want the one from before the new stream", load.Waiting)
	}
}

func TestAnOldStreamThatEndsLateDoesNotEndTheNewOne(t *testing.T) {
	e := newTestEngine()
	old, _ := attach(t, e)
	current, _ := attach(t, e)
	e.detach(old)
	if !e.receive(current, offers(1), nil, nil) {
		t.Error("the new stream does not count any more")
	}
}

func TestADrainIsOverOnlyWhenWhatIsHandedBackWasSent(t *testing.T) {
	e := newTestEngine()
	s, _ := attach(t, e)
	e.receive(s, offers(1, 2), nil, nil)
	drained := e.drain()
	if closed(drained) {
		t.Fatal("over before anything was sent")
	}
	if b := e.collect(s); len(b.refused) != 2 {
		t.Fatalf("handed back: %v, want both", b.refused)
	}
	if closed(drained) {
		t.Fatal("over while the message is on its way into the stream")
	}
	e.collect(s) // the writer comes again when the message is sent
	if !closed(drained) {
		t.Error("not over when all is sent")
	}
}

func TestAStreamThatBreaksDoesNotHoldUpADrain(t *testing.T) {
	e := newTestEngine()
	s, _ := attach(t, e)
	e.receive(s, offers(1), nil, nil)
	drained := e.drain()
	e.detach(s)
	if !closed(drained) {
		t.Error("it waits for a stream that is gone, to hand back what the dispatcher takes for lost already")
	}
}

func TestAStreamThatComesWhenTheWorkerEndsIsEnded(t *testing.T) {
	e := newTestEngine()
	e.close()
	if s, _ := attach(t, e); !closed(s.ended) || s.reason != errEnding {
		t.Errorf("it goes on, or ends with %v", s.reason)
	}
}

func TestALeaderThatWasReplacedDoesNotTakeTheWorkerBack(t *testing.T) {
	e := newTestEngine()
	for _, step := range []struct {
		what    string
		who     leader
		refused bool
	}{
		{"the first leader", leader{"blue", 3}, false},
		{"the same again", leader{"blue", 3}, false},
		{"the next", leader{"blue", 4}, false},
		{"the first, which woke up", leader{"blue", 3}, true},
		{"another cluster, restored from a backup", leader{"red", 1}, false},
		{"a dispatcher that does not say", leader{}, false},
	} {
		before := e.session
		if _, _, err := e.attach(step.who); (err != nil) != step.refused {
			t.Errorf("%s: %v, want refused %v", step.what, err, step.refused)
		}
		if step.refused && e.session != before {
			t.Errorf("%s: took the stream", step.what)
		}
	}
}
