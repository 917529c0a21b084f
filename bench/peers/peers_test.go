package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"taskgrid/bench"
)

// The queue of this test answers at once; what counts is that no more are out than may be.
func TestTheLoopRunsAllAndKeepsNoMoreInFlight(t *testing.T) {
	for _, c := range []struct{ n, inFlight, submitters, batch int }{{1, 1, 1, 1}, {1000, 7, 3, 1}, {1000, 64, 2, 10}, {50, 1000, 4, 1000}} {
		got := make(chan int, c.n)
		var out, most, submitted atomic.Int64
		submit := func(_ context.Context, k int) error {
			if k < 1 || k > c.batch {
				t.Errorf("%+v: %d submitted at once", c, k)
			}
			submitted.Add(int64(k))
			if now := out.Add(int64(k)); now > most.Load() {
				most.Store(now)
			}
			out.Add(-int64(k))
			got <- k
			return nil
		}
		if err := loop(t.Context(), c.n, c.inFlight, c.submitters, c.batch, submit, got); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if int(submitted.Load()) != c.n || int(most.Load()) > c.inFlight {
			t.Errorf("%+v: %d submitted, up to %d in flight", c, submitted.Load(), most.Load())
		}
	}
}

func TestTableAndChartShowEveryPeer(t *testing.T) {
	result := func(name string, ratio float64) bench.Result {
		return bench.Result{Name: name, Figures: map[string]bench.Summary{bench.Rate: {Median: ratio * 1000}, bench.Ratio: {Median: ratio}}}
	}
	report := bench.Report{Phases: []bench.Result{
		result("TaskGrid, closed loop", 1.2), result("asynq, closed loop", 0.3), result("TaskGrid, backlog", 2), result("asynq, backlog", 0.5),
	}}
	if got, want := table(report), "| asynq | 300 | 0.30 | 500 | 0.50 | 4.0 × / 4.0 × |"; !strings.Contains(got, want) {
		t.Errorf("the table lacks %q:\n%s", want, got)
	}
	for _, want := range []string{">TaskGrid<", ">asynq<", ">1.20<", ">0.50<"} {
		if !strings.Contains(chart(report), want) {
			t.Errorf("the chart lacks %s", want)
		}
	}
}
