package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"taskgrid/bench"
)

// Phase is a phase of the benchmark before it has a lab to run in.
type Phase struct {
	Name, What string
	usual      bool // part of a run that names no phases
	once       bool // too long for several rounds
	own        bool // starts grids of its own, so that it cannot measure a running one
	run        phase
}

// Phases are all phases, in the order in which they are measured.
var Phases = []Phase{
	{Name: "one", usual: true, run: (*Lab).one,
		What: "one task at a time over one RunTasks stream; p50_ratio is ÷ the p50 of one raw call at a time"},
	{Name: "closed-64", usual: true, run: closed(64), What: "RunTasks stream of the client library, 64 in flight"},
	{Name: "closed-256", usual: true, run: closed(256), What: "RunTasks stream of the client library, 256 in flight"},
	{Name: "closed-1024", usual: true, run: closed(1024), What: "RunTasks stream of the client library, 1,024 in flight"},
	{Name: "unary-64", usual: true, run: (*Lab).unary, What: "SubmitTasks and WaitTasks, one task a call, 64 at a time"},
	{Name: "mixed", usual: true, run: (*Lab).mixed, What: "four types by turns, each with one worker, 256 in flight"},
	{Name: "bound-64", own: true, run: naive(closed(64)), What: "closed-64 with a naive dispatcher: streams and a log with group commit, nothing else"},
	{Name: "bound-256", own: true, run: naive(closed(256)), What: "closed-256 with the naive dispatcher"},
	{Name: "bound-1024", own: true, run: naive(closed(1024)), What: "closed-1024 with the naive dispatcher"},
	{Name: "bound-unary", own: true, run: naive((*Lab).unary), What: "unary-64 with the naive dispatcher"},
	{Name: "payload", run: (*Lab).payload, What: "hash of 32 bytes, 1, 8 and 64 KiB, 64 in flight"},
	{Name: "workers", own: true, run: (*Lab).workers,
		What: "256 in flight with 1,000 connected workers of the type; workers_ratio is ÷ the rate with 10"},
	{Name: "flood", own: true, run: (*Lab).flood,
		What: "p99 of one hash task at a time while 100,000 reverse tasks wait; flood_ratio is ÷ its p99 alone"},
	{Name: "replicas", own: true, run: (*Lab).replicas,
		What: "three dispatchers, 256 in flight; replicas_ratio is ÷ the rate of one"},
	{Name: "heartbeat", own: true, run: (*Lab).heartbeat, What: "Heartbeat of the name service, 64 calls at a time over one connection"},
	{Name: "lookup", own: true, run: (*Lab).lookup, What: "LookupWorkers of a type with 10 workers, 64 calls at a time over one connection"},
	{Name: "heartbeats-5000", own: true, run: (*Lab).fiveThousand,
		What: "5,000 workers, each with a connection of its own and a heartbeat a second: processors that the name service uses"},
	{Name: "watchers", own: true, run: (*Lab).watchers, What: "from a change in the name service to each of 1,000 watchers"},
	{Name: "backlog", own: true, once: true, run: (*Lab).backlog,
		What: "submit --backlog tasks with no worker there, restart the dispatcher, drain"},
	{Name: "disk", own: true, once: true, run: (*Lab).disk, What: "finish --finished tasks: bytes written for each, size of the directory"},
}

// Choose returns the phases that a list with commas names; "" is the usual ones, "all" is all.
func Choose(list string) ([]Phase, error) {
	if list == "" || list == "all" {
		return slices.DeleteFunc(slices.Clone(Phases), func(p Phase) bool { return list == "" && !p.usual }), nil
	}
	var chosen []Phase
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(Phases, func(p Phase) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("phases: %q: must be all, or some of %s", name, strings.Join(Names(), ","))
		}
		chosen = append(chosen, Phases[i])
	}
	return chosen, nil
}

// Names returns the names of all phases.
func Names() []string {
	var names []string
	for _, p := range Phases {
		names = append(names, p.Name)
	}
	return names
}

// CheckRunning returns an error if one of the phases cannot measure a grid that somebody else has started.
func CheckRunning(phases []Phase) error {
	for _, p := range phases {
		if p.own {
			return fmt.Errorf("phases: %s: needs a grid of its own: leave --dispatcher out", p.Name)
		}
	}
	return nil
}

// Bind returns the phases as a lab runs them.
func (l *Lab) Bind(phases []Phase) []bench.Phase {
	var bound []bench.Phase
	for _, p := range phases {
		bound = append(bound, bench.Phase{Name: p.Name, What: p.What, Once: p.once,
			Run: func(ctx context.Context) (bench.Figures, error) { return p.run(l, ctx) }})
	}
	return bound
}
