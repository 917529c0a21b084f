package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"taskgrid/bench"
	"taskgrid/bench/drive"
)

// benchPhase is a phase before it has a lab to run in.
type benchPhase struct {
	name, what string
	usual      bool // part of a run that names no phases
	run        func(*lab, context.Context) (bench.Figures, error)
}

// benchPhases are all phases, in the order in which they are measured.
var benchPhases = []benchPhase{
	{"one", "one task at a time over one RunTasks stream; p50_ratio is ÷ the p50 of one raw call at a time", true, (*lab).one},
	{"closed-64", "RunTasks stream of the client library, 64 in flight", true, closed(64)},
	{"closed-256", "RunTasks stream of the client library, 256 in flight", true, closed(256)},
	{"closed-1024", "RunTasks stream of the client library, 1,024 in flight", true, closed(1024)},
	{"unary-64", "SubmitTasks and WaitTasks, one task a call, 64 at a time", true, (*lab).unary},
}

// choosePhases returns the phases that a list with commas names; "" is the usual ones, "all" is all.
func choosePhases(list string) ([]benchPhase, error) {
	if list == "" || list == "all" {
		return slices.DeleteFunc(slices.Clone(benchPhases), func(p benchPhase) bool { return list == "" && !p.usual }), nil
	}
	var chosen []benchPhase
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(benchPhases, func(p benchPhase) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("phases: %q: must be all, or some of %s", name, strings.Join(phaseNames(), ","))
		}
		chosen = append(chosen, benchPhases[i])
	}
	return chosen, nil
}

func phaseNames() []string {
	var names []string
	for _, p := range benchPhases {
		names = append(names, p.name)
	}
	return names
}

// closed returns the phase of a closed loop over one stream.
func closed(inFlight int) func(*lab, context.Context) (bench.Figures, error) {
	return func(l *lab, ctx context.Context) (bench.Figures, error) {
		return l.measure(ctx, l.grid, drive.Stream(l.grid.client, inFlight, drive.Task))
	}
}

func (l *lab) unary(ctx context.Context) (bench.Figures, error) {
	return l.measure(ctx, l.grid, drive.Calls(drive.InFlight, drive.Single(l.grid.client)))
}

// one measures the raw call one at a time right before, since it is compared by its latency.
func (l *lab) one(ctx context.Context) (bench.Figures, error) {
	raw, err := drive.Measure(ctx, l.window(nil), drive.Calls(1, l.echo.Call))
	if err != nil {
		return nil, err
	}
	figures, err := l.measure(ctx, l.grid, drive.OneByOne(l.grid.client))
	if err != nil {
		return nil, err
	}
	figures["raw_p50_us"] = raw[bench.P50]
	figures["p50_ratio"] = figures[bench.P50] / raw[bench.P50]
	return figures, nil
}

// measure measures work on a grid, and what its processes use meanwhile.
func (l *lab) measure(ctx context.Context, g *benchGrid, work func(context.Context, *drive.Recorder) error) (bench.Figures, error) {
	m := g.meter()
	figures, err := drive.Measure(ctx, l.window(m.edge), work)
	if err != nil {
		return nil, err
	}
	m.add(figures, figures[bench.Rate]*l.duration.Seconds())
	return figures, nil
}
