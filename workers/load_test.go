package workers

import "testing"

func TestTheLoadOfTheProcessorsIsWhatDidNotIdle(t *testing.T) {
	busy, all := parseStat("cpu  100 20 30 700 50 5 5 90 999 999")
	if busy != 250 || all != 1000 {
		t.Errorf("got %d of %d ticks, want 250 of 1000", busy, all)
	}
	for _, line := range []string{"", "cpu", "cpu x", "cpu -1 2"} {
		if busy, all := parseStat(line); busy != 0 || all != 0 {
			t.Errorf("%q: got %d of %d", line, busy, all)
		}
	}
}

func TestAnIDFitsHoweverManyTypesThereAre(t *testing.T) {
	for _, types := range [][]string{{"hash"}, {"reverse", "sum"}, {"a-type-with-a-rather-long-name-00", "b-type-with-a-rather-long-name-00", "c"}} {
		id := NewID(types)
		if !idRule.MatchString(id) {
			t.Errorf("%v: %q is not an id", types, id)
		}
		if id == NewID(types) {
			t.Errorf("%v: the same id twice", types)
		}
	}
}
