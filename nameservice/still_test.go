package nameservice

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"taskgrid/internal/pulse"
)

// TestAPauseIsLoggedOnceIfItIsNotable: shorter ones count, but nobody wants to read of each.
func TestAPauseIsLoggedOnceIfItIsNotable(t *testing.T) {
	for still, want := range map[time.Duration]int{pulse.Notable - 1: 0, pulse.Notable: 1} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			s := NewServer(Options{}, slog.New(slog.NewTextHandler(&log, nil)))
			s.still = still
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- s.Run(ctx) }()
			time.Sleep(10 * sweepEvery)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if got := strings.Count(log.String(), "this process stood still"); got != want || want > 0 && !strings.Contains(log.String(), "for="+still.String()) {
				t.Errorf("a pause of %v: logged %d times, want %d: %s", still, got, want, log.String())
			}
		})
	}
}
