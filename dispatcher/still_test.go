package dispatcher

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"taskgrid/internal/pulse"
)

// TestAPauseIsLoggedOnceIfItIsNotable: shorter ones count, but nobody wants to read of each.
func TestAPauseIsLoggedOnceIfItIsNotable(t *testing.T) {
	for still, want := range map[time.Duration]int{pulse.Notable - 1: 0, pulse.Notable: 1} {
		var log bytes.Buffer
		d := &Dispatcher{log: slog.New(slog.NewTextHandler(&log, nil)), still: still}
		for range 3 {
			d.tick()
		}
		if got := strings.Count(log.String(), "this process stood still"); got != want || want > 0 && !strings.Contains(log.String(), "for="+still.String()) {
			t.Errorf("a pause of %v: logged %d times, want %d: %s", still, got, want, log.String())
		}
	}
}
