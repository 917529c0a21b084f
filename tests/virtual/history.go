package virtual

import (
	"slices"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/witness"
)

// note keeps facts for the judge: what the test's clients were told.
func (g *Grid) note(facts ...checker.Fact) {
	g.notes.Lock()
	defer g.notes.Unlock()
	g.facts = append(g.facts, facts...)
}

// History reads all events there are, from the first one on, and has them judged together with what the test's clients
// were told.
func (g *Grid) History() {
	g.t.Helper()
	judge := checker.New(checker.Limits{})
	for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err != nil {
			g.t.Fatalf("events: %v", err)
		}
		judge.Add(witness.Event(e))
	}
	g.notes.Lock()
	facts := slices.Clone(g.facts)
	g.notes.Unlock()
	for _, f := range facts {
		judge.Add(f)
	}
	judge.Conclude(time.Now())
	if err := judge.Verdict(); err != nil {
		g.t.Error(err)
	}
}
