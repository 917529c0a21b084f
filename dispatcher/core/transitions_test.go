package core

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// edge is a step, legal or not.
type edge struct{ from, to State }

func (e edge) String() string { return fmt.Sprintf("%v -> %v", e.from, e.to) }

// reachable applies every kind of record to one task in every situation that records can bring it into, and returns the
// steps that this led to. A situation is a state with the counts that decide what comes next.
func reachable(t *testing.T) map[edge]bool {
	type situation struct {
		State
		attempts, redeliveries uint16
		again                  bool // it has been handed over before
	}
	const any, maxAttempts = 1, 2
	// A way is a list of numbers of moves; every situation is reached by replaying the way to it.
	moves := []func(h *history, task *Task){
		func(h *history, task *Task) {
			h.apply(&Dispatch{At: h.now, Task: any, Token: NewToken(1, task.Attempt.Number()+1), WorkerID: "w"})
		},
		func(h *history, task *Task) { h.apply(&Start{At: h.now, Task: any, Token: task.Attempt}) },
		func(h *history, task *Task) { h.apply(&Requeue{At: h.now, Task: any, Token: task.Attempt}) },
		func(h *history, task *Task) { h.apply(&Expire{At: h.now, Task: any}) },
		func(h *history, task *Task) { h.apply(&Cancel{At: h.now, Task: any}) },
		func(h *history, task *Task) { h.apply(&Start{At: h.now, Task: any, Token: task.Attempt + 1}) },
		func(h *history, task *Task) { h.apply(&Requeue{At: h.now, Task: any, Token: task.Attempt + 1}) },
	}
	for how := EndResult; how <= EndRefused; how++ {
		moves = append(moves,
			func(h *history, task *Task) { h.apply(&End{At: h.now, Task: any, Token: task.Attempt, How: how}) },
			func(h *history, task *Task) { h.apply(&End{At: h.now, Task: any, Token: task.Attempt + 1, How: how}) })
	}
	steps, seen := map[edge]bool{}, map[situation]bool{}
	ways := [][]int{nil}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		h := newHistory(t)
		h.submit(Spec{MaxAttempts: maxAttempts})
		for _, move := range way {
			moves[move](h, h.task(any))
		}
		events, _ := h.m.Events(0, 1000, nil)
		for _, e := range events {
			steps[edge{e.From, e.To}] = true
		}
		now := h.task(any)
		at := situation{now.State, now.Attempts, now.Redeliveries, now.Attempt != 0}
		if seen[at] {
			continue
		}
		seen[at] = true
		for move := range moves {
			ways = append(ways, append(slices.Clone(way), move))
		}
	}
	return steps
}

// Created and Queued are one record, so nothing can cancel a task between them; the table has the step because the
// states do.
var unreachable = edge{Created, Cancelled}

func TestExactlyTheStepsOfTheTableAreReachable(t *testing.T) {
	want := map[edge]bool{}
	for _, tr := range Transitions {
		want[edge{tr.From, tr.To}] = true
	}
	delete(want, unreachable)
	got := reachable(t)
	for e := range maps.Keys(want) {
		if !got[e] {
			t.Errorf("%v: in the table, but no sequence of records leads to it", e)
		}
	}
	for e := range maps.Keys(got) {
		if !want[e] {
			t.Errorf("%v: records lead to it, but the table does not have it", e)
		}
	}
}

func TestTheTableIsWhatTheArchitectureSays(t *testing.T) {
	want := []string{
		" -> CREATED", "CREATED -> QUEUED", "QUEUED -> DISPATCHED", "DISPATCHED -> PROCESSING",
		"PROCESSING -> COMPLETED", "PROCESSING -> FAILED",
		"DISPATCHED -> TIMEOUT", "PROCESSING -> TIMEOUT", "TIMEOUT -> RETRYING", "TIMEOUT -> FAILED",
		"DISPATCHED -> RETRYING", "DISPATCHED -> FAILED", "PROCESSING -> RETRYING",
		"RETRYING -> QUEUED", "DISPATCHED -> QUEUED", "QUEUED -> FAILED",
		"CREATED -> CANCELLED", "QUEUED -> CANCELLED", "DISPATCHED -> CANCELLED", "PROCESSING -> CANCELLED", "RETRYING -> CANCELLED",
	}
	var got []string
	for _, tr := range Transitions {
		got = append(got, edge{tr.From, tr.To}.String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Transitions\n got %q\nwant %q", got, want)
	}
}

func TestTerminalStatesHaveNoWayOut(t *testing.T) {
	for _, tr := range Transitions {
		if tr.From.Terminal() {
			t.Errorf("%v -> %v leaves a terminal state", tr.From, tr.To)
		}
	}
	for from := range states + 3 {
		for to := range states + 3 {
			if (from.Terminal() || from >= states || to >= states) && Legal(from, to) {
				t.Errorf("Legal(%v, %v) = true, want false", from, to)
			}
		}
	}
}

func TestAnIllegalStepPanics(t *testing.T) {
	for from := None; from < states; from++ {
		for to := None; to < states; to++ {
			panicked := func() (p bool) {
				defer func() { p = recover() != nil }()
				(&Task{Spec: &Spec{}, State: from}).step(to, 0, "")
				return false
			}()
			if panicked == Legal(from, to) {
				t.Errorf("step %v -> %v: panicked %v, legal %v", from, to, panicked, Legal(from, to))
			}
		}
	}
}
