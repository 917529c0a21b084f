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
	{Measure: "three replicas on the same processors ÷ one", Phase: "replicas", Figure: "replicas_ratio", Must: 0.4, Aim: 0.6},
	{Measure: "name service: Heartbeat, ÷ raw gRPC", Phase: "heartbeat", Figure: Ratio, Must: 0.8, Aim: 0.95},
	{Measure: "name service: LookupWorkers, 10 workers of the type, ÷ raw gRPC", Phase: "lookup", Figure: Ratio, Must: 0.8, Aim: 0.95},
	{Measure: "heartbeats of 5,000 workers, one a second: the name service uses", Phase: "heartbeats-5000", Figure: "cores.nameservice", Must: 0.6, Aim: 0.3, AtMost: true, Unit: " cores"},
	{Measure: "a change in the name service reaches 1,000 watchers, p99", Phase: "watchers", Figure: "p99_ms", Must: 200, Aim: 50, AtMost: true, Unit: " ms"},
	{Measure: "memory per queued task (32 bytes of payload)", Phase: "backlog", Figure: "rss_bytes_per_queued", Must: 1024, Aim: 400, AtMost: true, Unit: " B"},
	{Measure: "restart with the backlog queued, to the first hand-over", Phase: "backlog", Figure: "restart_s", Must: 6, Aim: 2, AtMost: true, Unit: " s"},
	{Measure: "rate with the backlog queued ÷ with a thousand", Phase: "backlog", Figure: "queued_ratio", Must: 0.9, Aim: 1},
	{Measure: "rate with 1,000 connected workers ÷ with 10", Phase: "workers", Figure: "workers_ratio", Must: 0.7, Aim: 0.9},
	{Measure: "p99 of another type while one floods with 100,000 ÷ alone", Phase: "flood", Figure: "flood_ratio", Must: 3, Aim: 1.5, AtMost: true},
	{Measure: "bytes written per finished task", Phase: "disk", Figure: "written_per_finished_bytes", Must: 1024, Aim: 400, AtMost: true, Unit: " B"},
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
