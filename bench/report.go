package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run of the benchmark found.
type Report struct {
	Version  string    `json:"version"`
	Began    time.Time `json:"began"`
	Took     string    `json:"took"`
	Rounds   int       `json:"rounds"`
	Duration string    `json:"duration"` // of one measurement
	Load     string    `json:"load,omitempty"`
	Phases   []Result  `json:"phases"`
}

// columns are the figures that have one in the table; the others follow below it.
var columns = []struct{ figure, head string }{
	{Rate, "rate/s"}, {Echo, "echo/s"}, {Ratio, "ratio"}, {P50, "p50 µs"}, {P99, "p99 µs"}, {P999, "p99.9 µs"},
}

// Table writes the report for people.
func (r Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d rounds of %s each", r.Began.Format(time.DateTime), r.Rounds, r.Duration)
	if r.Load != "" {
		fmt.Fprintf(&b, ", load average before: %s", r.Load)
	}
	b.WriteString("\nmedians; ratio: ÷ raw gRPC unary echo, 64 in flight, measured right before and after\n\n")
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "phase\t")
	for _, c := range columns {
		fmt.Fprint(w, c.head, "\t")
	}
	fmt.Fprintln(w, "ratio from\tto\t")
	for _, phase := range r.Phases {
		fmt.Fprint(w, phase.Name, "\t")
		for _, c := range columns {
			if s, ok := phase.Figures[c.figure]; ok {
				fmt.Fprint(w, Short(s.Median))
			}
			fmt.Fprint(w, "\t")
		}
		if s, ok := phase.Figures[Ratio]; ok {
			fmt.Fprintf(w, "%s\t%s\t", Short(s.Min), Short(s.Max))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	b.WriteString(r.others())
	b.WriteString(r.goals())
	return b.String()
}

// others lists the figures that have no column.
func (r Report) others() string {
	var b strings.Builder
	for _, phase := range r.Phases {
		var said []string
		for _, name := range slices.Sorted(maps.Keys(phase.Figures)) {
			if !slices.ContainsFunc(columns, func(c struct{ figure, head string }) bool { return c.figure == name }) {
				said = append(said, name+" "+Short(phase.Figures[name].Median))
			}
		}
		if len(said) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", phase.Name, strings.Join(said, ", "))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + b.String()
}

// goals is the table of what is asked for.
func (r Report) goals() string {
	verdicts := Judge(Goals, r.Phases)
	if len(verdicts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "measure\tmust\taim\tmeasured\t")
	for _, v := range verdicts {
		measured := "–"
		if v.Known {
			measured = Short(v.Measured) + v.Goal.Unit
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Goal.Measure, v.Goal.Bound(v.Goal.Must), v.Goal.Bound(v.Goal.Aim), measured, v.Word())
	}
	w.Flush()
	return b.String()
}
