package bench

import (
	"maps"
	"slices"
)

// The names of figures that mean the same in every phase.
const (
	Rate  = "rate"   // things done in a second
	Echo  = "echo"   // calls a second of the yardstick, the mean of before and after
	Ratio = "ratio"  // Rate ÷ Echo
	P50   = "p50_us" // of the latency, in microseconds
	P99   = "p99_us"
	P999  = "p999_us"
)

// Figures are what one phase found in one round, by name. A name ends in its unit unless the unit is 1 or 1/s.
type Figures map[string]float64

// Median returns the middle of values, the mean of the two in the middle of an even number, and 0 of none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Compared returns the figures with what the yardstick adds to them, which ran at the rates before and after.
func (f Figures) Compared(before, after float64) Figures {
	compared := maps.Clone(f)
	rate, ok := f[Rate]
	echo := (before + after) / 2
	if ok && echo > 0 {
		compared[Echo], compared[Ratio] = echo, rate/echo
	}
	return compared
}

// Summary is a figure over all rounds.
type Summary struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // in the order of the rounds that have it
}

// Summarize returns the summary of each figure that is in any of the rounds.
func Summarize(rounds []Figures) map[string]Summary {
	values := map[string][]float64{}
	for _, figures := range rounds {
		for name, value := range figures {
			values[name] = append(values[name], value)
		}
	}
	summaries := make(map[string]Summary, len(values))
	for name, v := range values {
		summaries[name] = Summary{Median: Median(v), Min: slices.Min(v), Max: slices.Max(v), Values: v}
	}
	return summaries
}
