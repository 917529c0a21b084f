package core

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheEarliestTimerIsOnTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h timers
		var model []*timer
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				tm := &timer{due: start.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "due")))}
				h.add(tm)
				model = append(model, tm)
			},
			"stop, perhaps twice": func(t *rapid.T) {
				if len(model) > 0 {
					i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
					h.stop(model[i])
					h.stop(model[i])
					model = slices.Delete(model, i, i+1)
				}
			},
			"move": func(t *rapid.T) {
				if len(model) > 0 {
					tm := model[rapid.IntRange(0, len(model)-1).Draw(t, "which")]
					h.stop(tm)
					tm.due = start.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "due")))
					h.add(tm)
				}
			},
			"": func(t *rapid.T) {
				if len(h) != len(model) {
					t.Fatalf("%d timers, want %d", len(h), len(model))
				}
				for i, tm := range h {
					if tm.index != i || !slices.Contains(model, tm) || tm.due.Before(h[0].due) {
						t.Fatalf("timer %d of %d is misplaced", i, len(h))
					}
				}
			},
		})
	})
}
