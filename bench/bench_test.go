package bench

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3},
	} {
		given := append([]float64(nil), c.values...)
		if got := Median(given); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
		if diff := cmp.Diff(c.values, given); diff != "" {
			t.Errorf("Median changed its argument (-before +after):\n%s", diff)
		}
	}
}

func TestARateIsDividedByTheYardstickBeforeAndAfter(t *testing.T) {
	for _, c := range []struct {
		name          string
		figures, want Figures
		before, after float64
	}{
		{"the mean of both counts", Figures{Rate: 300, P50: 7}, Figures{Rate: 300, P50: 7, Echo: 150, Ratio: 2}, 100, 200},
		{"what has no rate has no ratio", Figures{P50: 7}, Figures{P50: 7}, 100, 200},
		{"nothing is divided by nothing", Figures{Rate: 300}, Figures{Rate: 300}, 0, 0},
	} {
		if diff := cmp.Diff(c.want, c.figures.Compared(c.before, c.after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRoundsInterleaveThePhasesWithTheYardstick(t *testing.T) {
	var order []string
	echo := 0.0
	phase := func(name string, rate float64) Phase {
		return Phase{Name: name, Run: func(context.Context) (Figures, error) {
			order = append(order, name)
			return Figures{Rate: rate}, nil
		}}
	}
	once := phase("once", 1)
	once.Once = true
	yardstick := func(context.Context) (float64, error) {
		order = append(order, "echo")
		echo += 10
		return echo, nil
	}
	tells := 0
	results, err := Rounds(t.Context(), []Phase{phase("a", 30), phase("b", 100), once}, 2, yardstick, func(_ string, done, all int) {
		if done != tells || all != 6 {
			t.Errorf("told of step %d of %d, want %d of 6", done, all, tells)
		}
		tells++
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "echo a echo b echo once echo a echo b echo"; strings.Join(order, " ") != want {
		t.Errorf("measured %q, want %q", strings.Join(order, " "), want)
	}
	// a ran between 10 and 20, then between 40 and 50.
	if diff := cmp.Diff([]float64{2, 30. / 45}, results[0].Figures[Ratio].Values); diff != "" {
		t.Errorf("ratios of a (-want +got):\n%s", diff)
	}
	if got := results[1].Figures[Ratio]; got.Median != (100./25+100./55)/2 || got.Min != 100./55 || got.Max != 4 {
		t.Errorf("ratio of b: %+v", got)
	}
}

func TestAFailedPhaseIsNamed(t *testing.T) {
	phases := []Phase{{Name: "a", Run: func(context.Context) (Figures, error) { return nil, errors.New("no worker") }}}
	_, err := Rounds(t.Context(), phases, 1, func(context.Context) (float64, error) { return 1, nil }, func(string, int, int) {})
	if err == nil || err.Error() != "a: no worker" {
		t.Errorf("error %v, want \"a: no worker\"", err)
	}
}

func TestAGoalIsJudgedByItsBounds(t *testing.T) {
	atLeast := Goal{Phase: "p", Figure: "f", Must: 1, Aim: 2}
	atMost := Goal{Phase: "p", Figure: "f", Must: 2, Aim: 1, AtMost: true}
	for _, c := range []struct {
		goal     Goal
		measured float64
		want     string
	}{
		{atLeast, 2, "aim reached"}, {atLeast, 1, "reached"}, {atLeast, 0.99, "MISSED"},
		{atMost, 1, "aim reached"}, {atMost, 2, "reached"}, {atMost, 2.01, "MISSED"},
	} {
		results := []Result{{Name: "p", Figures: map[string]Summary{"f": {Median: c.measured}}}}
		verdicts := Judge([]Goal{c.goal}, results)
		if len(verdicts) != 1 || verdicts[0].Word() != c.want {
			t.Errorf("%v with goal %+v: %+v, want %q", c.measured, c.goal, verdicts, c.want)
		}
	}
	if got := Judge([]Goal{atLeast}, []Result{{Name: "p"}}); len(got) != 1 || got[0].Word() != "not measured" {
		t.Errorf("a phase without the figure: %+v, want \"not measured\"", got)
	}
	if got := Judge([]Goal{atLeast}, nil); len(got) != 0 {
		t.Errorf("a phase that did not run: %+v, want nothing", got)
	}
}

func TestFiguresAreWrittenShort(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 5: "5", 123456: "123456", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0.321: "0.32", 0.0273: "0.0273", -4.5: "-4.50"} {
		if got := Short(value); got != want {
			t.Errorf("Short(%v) = %q, want %q", value, got, want)
		}
	}
}

func TestTheTableShowsEveryFigureAndEveryGoal(t *testing.T) {
	report := Report{Rounds: 5, Duration: "2s", Load: "0.10 0.20 0.30", Phases: []Result{
		{Name: "closed-64", Figures: map[string]Summary{Ratio: {Median: 1.1, Min: 0.9, Max: 1.25}, Rate: {Median: 70000}, "cpu_us.worker": {Median: 3.5}}},
	}}
	table := report.Table()
	for _, want := range []string{"load average before: 0.10", "70000", "1.10", "0.90", "1.25", "cpu_us.worker 3.50", "64 in flight, ÷ raw gRPC  ≥ 1   ≥ 1.3  1.10      reached"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}
