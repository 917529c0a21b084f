package pulse_test

import (
	"testing"
	"time"

	"taskgrid/internal/pulse"
)

func TestABeatThatComesLateTellsOfAPause(t *testing.T) {
	const longest = time.Second
	for _, c := range []struct {
		name string
		gap  time.Duration // since the beat before
		want time.Duration
	}{
		{"in time", 100 * time.Millisecond, 0},
		{"as late as may be", time.Second, 0},
		{"a pause", 21 * time.Second, 20 * time.Second},
		{"a clock that was set back", -time.Hour, 0},
	} {
		var p pulse.Pulse
		start := time.Unix(1_700_000_000, 0)
		if got := p.Beat(start, longest); got != 0 {
			t.Errorf("%s: the first beat tells of a pause of %v", c.name, got)
		}
		if got := p.Beat(start.Add(c.gap), longest); got != c.want {
			t.Errorf("%s: a beat %v after the one before: got a pause of %v, want %v", c.name, c.gap, got, c.want)
		}
		if got := p.Beat(start.Add(c.gap+longest), longest); got != 0 {
			t.Errorf("%s: the beat after it tells of a pause of %v", c.name, got)
		}
	}
}

func TestABusyMachineDoesNotStopTheTime(t *testing.T) {
	var p pulse.Pulse
	start := time.Unix(1_700_000_000, 0)
	var still time.Duration
	for i := range 101 {
		still += p.Beat(start.Add(time.Duration(i)*2*time.Second), time.Second)
	}
	if still != 100*time.Second {
		t.Errorf("100 beats, each 2s after the other where 1s is the longest: stood still for %v of 200s, want 100s", still)
	}
}
