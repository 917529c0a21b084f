package process

import (
	"testing"
	"time"
)

func TestLogLinesAboutTasksHaveABudget(t *testing.T) {
	var b LineBudget
	now := time.Unix(1e9, 0)
	count := func() (n int) {
		for range 1000 {
			if b.Allows(now) {
				n++
			}
		}
		return n
	}
	if n := count(); n != linesPerSecond {
		t.Errorf("%d lines in one second, want %d", n, linesPerSecond)
	}
	now = now.Add(time.Second)
	if n := count(); n != linesPerSecond {
		t.Errorf("%d lines in the next second, want %d", n, linesPerSecond)
	}
}
