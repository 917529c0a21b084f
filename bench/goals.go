package bench

import (
	"fmt"
	"strconv"
)

// Goal is a bound of one figure of one phase.
type Goal struct {
	Measure string  // in words
	Phase   string  // whose figure
	Figure  string  // which
	Must    float64 // what has to be reached
	Aim     float64 // what is hoped for
	AtMost  bool    // the bounds are upper ones
	Unit    string  // behind the numbers; "" is none
}

// Goals are what the grid is to reach (see docs/performance.md), in the order of the table.
var Goals = []Goal{
	{Measure: "RunTasks stream, 64 in flight, ÷ raw gRPC", Phase: "closed-64", Figure: Ratio, Must: 1.0, Aim: 1.3},
	{Measure: "RunTasks stream, 256 in flight, ÷ raw gRPC", Phase: "closed-256", Figure: Ratio, Must: 1.8, Aim: 2.4},
	{Measure: "RunTasks stream, 1,024 in flight, ÷ raw gRPC", Phase: "closed-1024", Figure: Ratio, Must: 2.2, Aim: 3},
	{Measure: "SubmitTasks and WaitTasks, one task a call, 64 in flight, ÷ raw gRPC", Phase: "unary-64", Figure: Ratio, Must: 0.45, Aim: 0.6},
	{Measure: "one at a time, submit to result, p50 ÷ p50 of a raw call", Phase: "one", Figure: "p50_ratio", Must: 5, Aim: 4, AtMost: true},
}

// Verdict is how a goal fared.
type Verdict struct {
	Goal     Goal
	Measured float64
	Known    bool // its phase ran
}

// Word says it in a word.
func (v Verdict) Word() string {
	reached := func(bound float64) bool {
		if v.Goal.AtMost {
			return v.Measured <= bound
		}
		return v.Measured >= bound
	}
	switch {
	case !v.Known:
		return "not measured"
	case reached(v.Goal.Aim):
		return "aim reached"
	case reached(v.Goal.Must):
		return "reached"
	}
	return "MISSED"
}

// Bound says a bound of the goal in words.
func (g Goal) Bound(value float64) string {
	sign := "≥ "
	if g.AtMost {
		sign = "≤ "
	}
	return sign + strconv.FormatFloat(value, 'f', -1, 64) + g.Unit
}

// Judge returns a verdict for each goal whose phase is among the results.
func Judge(goals []Goal, results []Result) []Verdict {
	var verdicts []Verdict
	for _, goal := range goals {
		for _, result := range results {
			if result.Name != goal.Phase {
				continue
			}
			summary, known := result.Figures[goal.Figure]
			verdicts = append(verdicts, Verdict{Goal: goal, Measured: summary.Median, Known: known})
		}
	}
	return verdicts
}

// Short writes a figure with three significant digits, or all digits before the point where there are more.
func Short(value float64) string {
	abs := max(value, -value)
	switch {
	case value == float64(int64(value)) && abs < 1e15, abs >= 100:
		return fmt.Sprintf("%.0f", value)
	case abs >= 10:
		return fmt.Sprintf("%.1f", value)
	case abs >= 0.1:
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.4f", value)
}
