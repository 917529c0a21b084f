package core

import (
	"testing"
	"time"
)

// flooded returns a leader whose worker a has as many tasks of a flood in hand as it takes, while 1,000 more wait, and
// whose worker b knows that tasks of another type take a while.
func flooded(t *testing.T, other time.Duration) (l *leader, flood, lone *fakeWorker, hand []Message) {
	l = newLeader(t)
	flood, lone = l.worker("a", 2, "flood"), l.worker("b", 2, "lone")
	flood.hello(256, nil, nil)
	lone.hello(256, nil, nil)
	warm(flood, "flood", time.Microsecond)
	warm(lone, "lone", other)
	l.pass(2 * inUse)
	for range 2000 {
		l.submit(Spec{Type: "flood"})
	}
	if hand = flood.heard(Assign); len(hand) != 258 {
		t.Fatalf("%d tasks of the flood in hand while it is alone, want 258", len(hand))
	}
	return l, flood, lone, hand
}

// work does what is in a worker's hand, once, and returns what it has in hand then.
func work(w *fakeWorker, hand []Message) (next []Message) {
	for _, m := range hand {
		w.do(func() { w.answer(m, EndResult, "", time.Microsecond) })
		next = append(next, w.heard(Assign)...)
	}
	return next
}

func TestALoneShortTaskMakesTheWindowOfAFloodNarrow(t *testing.T) {
	l, flood, lone, hand := flooded(t, time.Microsecond)
	l.submit(Spec{Type: "lone"})
	lone.one()
	if hand = work(flood, hand); len(hand) != 2+narrowWindow {
		t.Errorf("%d tasks of the flood in hand beside a lone task, want %d", len(hand), 2+narrowWindow)
	}
	l.pass(2 * inUse)
	if hand = append(hand, flood.heard(Assign)...); len(hand) != 258 {
		t.Errorf("%d tasks of the flood in hand some time after the lone task, want 258", len(hand))
	}
}

func TestALoneLongTaskLeavesTheWindowOfAFloodAlone(t *testing.T) {
	l, flood, lone, hand := flooded(t, time.Second)
	l.submit(Spec{Type: "lone"})
	lone.one()
	if hand = work(flood, hand); len(hand) != 258 {
		t.Errorf("%d tasks of the flood in hand beside a long task, want 258", len(hand))
	}
}

func TestTwoFloodsLeaveEachOthersWindowsAlone(t *testing.T) {
	l, flood, lone, hand := flooded(t, time.Microsecond)
	for range 2000 {
		l.submit(Spec{Type: "lone"})
	}
	hand = work(flood, hand)
	l.pass(inUse / 2) // the first of them was alone for a moment
	hand = append(hand, flood.heard(Assign)...)
	if other := lone.heard(Assign); len(hand) != 258 || len(other) != 258 {
		t.Errorf("%d and %d tasks in hand of two floods, want 258 each", len(hand), len(other))
	}
}

// TestTwoClosedLoopsLeaveEachOthersWindowsAlone: what is under way counts too, where nothing waits.
func TestTwoClosedLoopsLeaveEachOthersWindowsAlone(t *testing.T) {
	l, flood, lone, hand := flooded(t, time.Microsecond)
	l.pass(2 * inUse) // what is left of the flood waits
	for range 200 {
		l.submit(Spec{Type: "lone"})
	}
	l.pass(inUse / 2)
	other := lone.heard(Assign)
	for range 5 { // each end makes the client submit the next
		for i, m := range other {
			lone.do(func() { lone.answer(m, EndResult, "", time.Microsecond) })
			l.submit(Spec{Type: "lone"})
			other[i] = lone.one()
		}
		l.pass(inUse / 2)
		if hand = append(work(flood, hand), flood.heard(Assign)...); len(hand) != 258 || len(other) != 200 {
			t.Fatalf("%d and %d tasks in hand, want 258 and 200", len(hand), len(other))
		}
	}
}
