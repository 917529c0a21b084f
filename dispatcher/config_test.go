package dispatcher

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

func TestTheDefaultsKeepTheirOwnRules(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Journal.ID, cfg.Journal.Directory = "d1", "data"
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
}

func TestABadValueIsRefusedByTheNameOfItsFlag(t *testing.T) {
	for flag, spoil := range map[string]func(*Config){
		"max-attempts":     func(c *Config) { c.MaxAttempts = 0 },
		"attempt-timeout":  func(c *Config) { c.AttemptTimeout = 25 * time.Hour },
		"max-payload":      func(c *Config) { c.MaxPayload = 5 << 20 },
		"retry-initial":    func(c *Config) { c.RetryInitial = 0 },
		"retry-max":        func(c *Config) { c.RetryMax = time.Nanosecond },
		"breaker-faults":   func(c *Config) { c.BreakerFaults = 0 },
		"breaker-pause":    func(c *Config) { c.BreakerPause = -1 },
		"adopt-grace":      func(c *Config) { c.AdoptGrace = 0 },
		"max-queued":       func(c *Config) { c.MaxLive = 0 },
		"max-queued-bytes": func(c *Config) { c.MaxLiveBytes = 1 },
		"keep-count":       func(c *Config) { c.KeepCount = -1 },
		"keep-age":         func(c *Config) { c.KeepAge = -1 },
		"keep-bytes":       func(c *Config) { c.KeepBytes = -1 },
		"keep-events":      func(c *Config) { c.KeepEvents = 0 },
	} {
		cfg := DefaultConfig()
		spoil(&cfg)
		if err := cfg.Check(); err == nil || !strings.HasPrefix(err.Error(), flag+": ") || !strings.Contains(err.Error(), "must") {
			t.Errorf("%s: got %v, want an error that names it and the rule", flag, err)
		}
	}
}

// TestPausesDoubleUpToTheirBound: each is the double of the one before, half of it to one and a half.
func TestPausesDoubleUpToTheirBound(t *testing.T) {
	cfg := DefaultConfig()
	for n, mean := 1, cfg.RetryInitial; n <= 100; n, mean = n+1, min(2*mean, cfg.RetryMax) {
		for range 20 {
			if got := cfg.pause(n); got < mean/2 || got > mean*3/2 {
				t.Fatalf("pause before retry %d: got %v, want %v ± half", n, got, mean)
			}
		}
	}
}

func TestAShortenedTextIsCutBetweenCharacters(t *testing.T) {
	for s, want := range map[string]string{"abc": "abc", "abcd": "abcd", "abcde": "abcd…", "abcé": "abc…", "€€": "€…"} {
		if got := shorten(s, 4); got != want {
			t.Errorf("shorten(%q): got %q, want %q", s, got, want)
		}
	}
}

func TestACancelIsNotInTheMessageOfItsAssignment(t *testing.T) {
	spec := &core.Spec{Type: "hash"}
	frame, rest := nextFrame([]core.Message{{Kind: core.Assign, Task: 1, Token: 7, Spec: spec}, {Kind: core.Stop, Task: 1, Token: 7}})
	if len(frame.Assignments) != 1 || len(frame.Cancels) != 0 || len(rest) != 1 {
		t.Errorf("the first message has %d assignments and %d cancels, %d wait; want 1, 0 and 1", len(frame.Assignments), len(frame.Cancels), len(rest))
	}
	if frame, rest = nextFrame(rest); len(frame.Cancels) != 1 || len(rest) != 0 {
		t.Errorf("the second message has %d cancels, %d wait; want 1 and 0", len(frame.Cancels), len(rest))
	}
}

func TestAFrameCarriesAllMessagesInTheirOrder(t *testing.T) {
	var messages []core.Message
	for i := range uint64(40) {
		spec := &core.Spec{Type: "hash", Payload: strings.Repeat("x", 64<<10), RequestID: fmt.Sprint(i)}
		messages = append(messages, core.Message{Kind: core.Assign, Task: i, Token: 1, Spec: spec, Timeout: time.Second},
			core.Message{Kind: core.Stop, Task: i, Token: 2}, core.Message{Kind: core.Acknowledge, Task: i, Token: 3})
	}
	var assigned, stopped, acked, want []uint64
	frames := 0
	for rest := messages; len(rest) > 0; frames++ {
		var frame *pb.ProcessRequest
		frame, rest = nextFrame(rest)
		bytes := 0
		for _, a := range frame.Assignments {
			assigned, bytes = append(assigned, a.TaskId), bytes+len(a.Payload)
		}
		for _, c := range frame.Cancels {
			stopped = append(stopped, c.TaskId)
		}
		for _, a := range frame.Acks {
			acked = append(acked, a.TaskId)
		}
		if bytes > frameBytes+64<<10 {
			t.Errorf("frame %d carries %d bytes, want about %d", frames, bytes, frameBytes)
		}
	}
	for i := range uint64(40) {
		want = append(want, i)
	}
	for name, got := range map[string][]uint64{"assignments": assigned, "cancels": stopped, "acknowledgements": acked} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if frames != 3 {
		t.Errorf("2.5 MiB went into %d frames, want 3", frames)
	}
}
