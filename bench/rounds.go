package bench

import (
	"context"
	"fmt"
)

// Phase is one thing to measure.
type Phase struct {
	Name string // in --phases, in the table and in JSON
	What string // in words
	Once bool   // measured in the first round only
	// Run measures it once. The figures of one phase have the same names each time.
	Run func(context.Context) (Figures, error)
}

// rounds returns in how many of so many rounds the phase is measured.
func (p Phase) rounds(all int) int {
	if p.Once {
		return min(1, all)
	}
	return all
}

// Result is what was found about a phase.
type Result struct {
	Name    string             `json:"name"`
	What    string             `json:"what"`
	Figures map[string]Summary `json:"figures"`
}

// Rounds measures all phases so many times, interleaved with the yardstick, which returns its rate. Tell hears what is
// being measured, and how much of it all is done. An error ends it; it names the phase.
func Rounds(ctx context.Context, phases []Phase, rounds int, yardstick func(context.Context) (float64, error), tell func(what string, done, all int)) ([]Result, error) {
	found := make([][]Figures, len(phases))
	all, done := 1, 0
	for _, phase := range phases {
		all += phase.rounds(rounds)
	}
	step := func(what string) { tell(what, done, all); done++ }

	step("yardstick")
	before, err := yardstick(ctx)
	if err != nil {
		return nil, fmt.Errorf("yardstick: %w", err)
	}
	for round := range rounds {
		for i, phase := range phases {
			if round >= phase.rounds(rounds) {
				continue
			}
			step(fmt.Sprintf("round %d of %d: %s", round+1, rounds, phase.Name))
			figures, err := phase.Run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", phase.Name, err)
			}
			after, err := yardstick(ctx)
			if err != nil {
				return nil, fmt.Errorf("yardstick: %w", err)
			}
			found[i] = append(found[i], figures.Compared(before, after))
			before = after
		}
	}
	results := make([]Result, len(phases))
	for i, phase := range phases {
		results[i] = Result{Name: phase.Name, What: phase.What, Figures: Summarize(found[i])}
	}
	return results, nil
}
