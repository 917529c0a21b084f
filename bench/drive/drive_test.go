package drive

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"taskgrid/bench"
	_ "taskgrid/internal/bubble" // some tests run in synctest bubbles
)

func TestTheYardstickEchoes(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ServeEcho(ctx, lis) }()
	client, err := DialEcho(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	edges := 0
	window := Window{Warm: 10 * time.Millisecond, For: 50 * time.Millisecond, Edge: func(bool) { edges++ }}
	figures, err := Measure(t.Context(), window, Calls(4, client.Call))
	if err != nil {
		t.Fatal(err)
	}
	if figures[bench.Rate] <= 0 || figures[bench.P50] <= 0 || figures[bench.P50] > figures[bench.P99] || figures[bench.P99] > figures[bench.P999] {
		t.Errorf("figures %v, want a rate, and latencies in their order", figures)
	}
	if edges != 2 {
		t.Errorf("%d edges of the window, want 2", edges)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// Each call takes ten milliseconds, of virtual time.
func TestOnlyWhatEndsInTheWindowCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tick := func(context.Context) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		figures, err := Measure(t.Context(), Window{Warm: 195 * time.Millisecond, For: 200 * time.Millisecond}, Calls(2, tick))
		if err != nil {
			t.Fatal(err)
		}
		// Had what ended before counted too, it would be 395.
		if rate := figures[bench.Rate]; rate != 200 {
			t.Errorf("rate %v of two calls of 10ms each, want 200", rate)
		}
		if p50 := figures[bench.P50]; p50 < 9_990 || p50 > 10_010 {
			t.Errorf("p50 %.0f µs, want 10,000", p50)
		}
	})
}

func TestARecorderThatIsMeasuredAgainGoesOnCounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Recorder
		var figures bench.Figures
		for _, took := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond} {
			var err error
			figures, err = r.Measure(t.Context(), Window{For: 305 * time.Millisecond}, Calls(1, func(context.Context) error {
				time.Sleep(took)
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
		}
		// 30 of 10ms and 6 of 50ms, within 610ms.
		if rate, p50, p99 := figures[bench.Rate], figures[bench.P50], figures[bench.P99]; rate != 36/0.61 || p50 > 10_010 || p99 < 49_950 {
			t.Errorf("rate %v, p50 %.0f µs, p99 %.0f µs; want those of both windows", rate, p50, p99)
		}
	})
}

// A machine that stalls for longer than the window is not an error.
func TestCountingGoesOnUntilSomethingIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := func(context.Context) error {
			time.Sleep(98 * time.Millisecond)
			return nil
		}
		figures, err := Measure(t.Context(), Window{For: 5 * time.Millisecond}, Calls(1, late))
		if err != nil || figures[bench.Rate] != 10 {
			t.Errorf("figures %v, error %v, want ten a second", figures, err)
		}
	})
}

func TestWorkThatFailsEndsTheMeasurement(t *testing.T) {
	broken := errors.New("broken")
	fail := func(context.Context) error { return broken }
	if _, err := Measure(t.Context(), Window{For: time.Hour}, Calls(3, fail)); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}
