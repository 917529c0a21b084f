package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheRingKeepsTheNewestEventsAndForgetsTheOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ring{limit: rapid.IntRange(1, 10).Draw(t, "limit"), last: rapid.Uint64Range(0, 5).Draw(t, "last")}
		first := r.last + 1
		var all []Event // the model: everything
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			e := Event{TaskID: rapid.Uint64().Draw(t, "task")}
			seq := r.add(e)
			e.Seq = first + uint64(len(all))
			if seq != e.Seq {
				t.Fatalf("number: got %d, want %d", seq, e.Seq)
			}
			all = append(all, e)
		}
		kept := all[max(0, len(all)-r.limit):]
		oldest := r.last + 1
		if len(kept) > 0 {
			oldest = kept[0].Seq
		}
		if r.first() != oldest {
			t.Fatalf("oldest: got %d, want %d", r.first(), oldest)
		}
		since, most := rapid.Uint64Range(0, r.last+2).Draw(t, "since"), rapid.IntRange(0, 12).Draw(t, "most")
		got, ok := r.since(since, most, nil)
		if ok != (since+1 >= oldest) {
			t.Fatalf("since %d: ok %v, the oldest is %d", since, ok, oldest)
		}
		var want []Event
		for _, e := range kept {
			if ok && e.Seq > since && len(want) < most {
				want = append(want, e)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("since %d: got %v, want %v", since, got, want)
		}
	})
}

func TestEventsAreAppendedUpToTheBound(t *testing.T) {
	r := ring{limit: 5}
	for range 4 {
		r.add(Event{})
	}
	buf := make([]Event, 1, 8)
	if got, ok := r.since(1, 3, buf); !ok || len(got) != 3 || got[1].Seq != 2 || got[2].Seq != 3 {
		t.Errorf("got %v, %v; want one that was there and numbers 2 and 3", got, ok)
	}
}
