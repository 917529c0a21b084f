package core

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTypesThatShareAWorkerTakeTurns(t *testing.T) {
	// However many steps lie between two free slots, and whatever other types do meanwhile.
	for _, others := range []int{0, 1, 2} {
		for steps := range 6 {
			t.Run(fmt.Sprintf("%d steps, %d others", steps, others), func(t *testing.T) {
				l := newLeader(t)
				var busy []*fakeWorker
				for i := range others {
					busy = append(busy, l.worker(fmt.Sprintf("busy%d", i), 1, fmt.Sprintf("z%d", i)))
				}
				w := l.worker("a", 1, "flood", "rare")
				for i := range 40 {
					l.submit(Spec{Type: "flood"})
					for j := range others {
						l.submit(Spec{Type: fmt.Sprintf("z%d", j)})
					}
					if i < 10 {
						l.submit(Spec{Type: "rare"})
					}
				}
				rare := 0
				for range 20 {
					m := w.one()
					if m.Spec.Type == "rare" {
						rare++
					}
					w.do(func() { w.answer(m, EndResult, "", time.Second) })
					for range steps {
						l.step(func() {})
					}
					for _, b := range busy {
						for _, m := range b.heard(Assign) {
							b.do(func() { b.answer(m, EndResult, "", time.Second) })
						}
					}
				}
				if rare < 9 || rare > 11 {
					t.Errorf("of 20 tasks %d were of the rare type; want every other one", rare)
				}
			})
		}
	}
}

func TestTypesThatShareAWorkerTakeTurnsTaskByTask(t *testing.T) {
	l := newLeader(t)
	for range 20 {
		l.submit(Spec{Type: "flood"})
	}
	for range 5 {
		l.submit(Spec{Type: "rare"})
	}
	w := l.worker("a", 12, "flood", "rare")
	got := map[string]int{}
	for _, m := range w.heard(Assign) {
		got[m.Spec.Type]++
	}
	if got["rare"] != 5 || got["flood"] != 7 {
		t.Errorf("12 slots at once: got %v, want the 5 rare ones and 7 of the flood", got)
	}
}

// warm teaches the leader how long tasks of a type take on a worker.
func warm(w *fakeWorker, typ string, elapsed time.Duration) {
	w.Helper()
	w.submit(Spec{Type: typ})
	m := w.one()
	w.do(func() { w.answer(m, EndResult, "", elapsed) })
}

func TestOnlyShortTasksAreHandedOverAhead(t *testing.T) {
	for _, tt := range []struct {
		elapsed time.Duration
		window  int
		want    int
	}{
		{time.Millisecond, 256, 2},        // not short
		{time.Second, 256, 2},             // not short
		{0, 256, 258},                     // counts as a microsecond: as many as the window holds
		{100 * time.Microsecond, 256, 22}, // ten for each slot take a millisecond
		{100 * time.Microsecond, 5, 7},    // no more than the window holds
		{10 * time.Microsecond, 0, 2},     // a simple worker keeps none waiting
	} {
		l := newLeader(t)
		w := l.worker("a", 2, "hash")
		w.hello(tt.window, nil, nil)
		warm(w, "hash", tt.elapsed)
		if got := spread(l, 500, w)[0]; got != tt.want {
			t.Errorf("tasks of %v, window %d: %d handed over, want %d", tt.elapsed, tt.window, got, tt.want)
		}
	}
}

func TestShortTasksAreHandedOverByTheHandful(t *testing.T) {
	for _, tt := range []struct {
		strategy Strategy
		workers  int
		elapsed  time.Duration
		want     string // who gets ten tasks that come at once
	}{
		{LeastLoaded, 20, 60 * time.Microsecond, "abcdefghij"}, // as long as a message
		{LeastLoaded, 20, 30 * time.Microsecond, "aaabbbcccd"},
		{LeastLoaded, 20, time.Microsecond, "aaaaaaaaaa"},
		{RoundRobin, 20, time.Microsecond, "abcdefghij"},
		{LeastLoaded, 2, time.Microsecond, "ababababab"}, // few workers: one by one
		{LeastLoaded, 2, time.Millisecond, "abab"},       // not short: only as many as there are slots
	} {
		l := newLeader(t, func(c *Config) { c.Strategy = tt.strategy })
		workers := manyWorkers(l, tt.workers, tt.elapsed)
		first := l.m.LastID() + 1
		for range 10 {
			l.propose(&Submit{At: At(l.now), Spec: complete(l, Spec{})})
		}
		l.commit()
		got := []byte(strings.Repeat(".", 10))
		for _, w := range workers {
			for _, m := range w.heard(Assign) {
				got[m.Task-first] = w.info.ID[0]
			}
		}
		if got := strings.Trim(string(got), "."); got != tt.want {
			t.Errorf("%v, %d workers, tasks of %v: went to %s, want %s", tt.strategy, tt.workers, tt.elapsed, got, tt.want)
		}
	}
}

// manyWorkers returns workers called a, b, c …, of which each has done tasks that took so long.
func manyWorkers(l *leader, n int, elapsed time.Duration) (workers []*fakeWorker) {
	for i := range n {
		w := l.worker(string(rune('a'+i)), 2, "hash")
		w.hello(256, nil, nil)
		workers = append(workers, w)
	}
	for _, w := range workers {
		warm(w, "hash", elapsed)
	}
	return workers
}

func TestNoMoreThanAHandfulGoesToOneWorkerAtATime(t *testing.T) {
	l := newLeader(t)
	workers := manyWorkers(l, 20, time.Microsecond)
	for range len(workers) * handful {
		l.propose(&Submit{At: At(l.now), Spec: complete(l, Spec{})})
	}
	l.commit()
	for _, w := range workers {
		if got := len(w.heard(Assign)); got != handful {
			t.Errorf("worker %s got %d of %d tasks, want %d", w.info.ID, got, len(workers)*handful, handful)
		}
	}
}

func TestARetryPrefersAnotherWorkerThanTheOneWhoseHandfulItWouldBeIn(t *testing.T) {
	l := newLeader(t)
	a, b := l.worker("a", 2, "hash"), l.worker("b", 2, "hash")
	for _, w := range []*fakeWorker{a, b} {
		w.hello(256, nil, nil)
		warm(w, "hash", time.Microsecond)
	}
	id := l.submit(Spec{})
	first := a.one()
	a.do(func() { a.answer(first, EndRetryable, "no luck", time.Microsecond) })
	q := l.s.queue("hash")
	q.last, q.more = l.s.workers["a"].place(q), handful // as with many workers
	l.propose(&Requeue{At: At(l.now), Task: id, Token: first.Token})
	l.commit()
	if got := b.one(); got.Task != id {
		t.Errorf("the other worker got task %d, want %d", got.Task, id)
	}
}

func TestTasksOfUnknownLengthAreNotHandedOverAhead(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	w.hello(256, nil, nil)
	if got := spread(l, 10, w)[0]; got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func TestOneSlowTaskIsEnoughToBeCareful(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	w.hello(256, nil, nil)
	warm(w, "hash", 10*time.Microsecond)
	warm(w, "hash", 2*time.Millisecond) // far less than a millisecond on average
	if got := spread(l, 10, w)[0]; got != 1 {
		t.Errorf("after a slow one: %d handed over, want 1", got)
	}
}

func TestSlotsTakenByLongTasksGiveNoRoomAhead(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash", "wait")
	w.hello(256, nil, nil)
	warm(w, "hash", 100*time.Microsecond)
	l.submit(Spec{Type: "wait"})
	w.one()
	if got := spread(l, 100, w)[0]; got != 11 {
		t.Errorf("one slot free: %d short tasks handed over; want it and the ten that it does in a millisecond", got)
	}
	l.submit(Spec{Type: "wait"})
	w.none("with more than its capacity in hand")
}

func TestAFloodOfShortTasksDoesNotStarveLongOnesOnTheSameWorker(t *testing.T) {
	for what, elapsed := range map[string]time.Duration{"long": time.Second, "short, but less so": 300 * time.Microsecond} {
		l := newLeader(t)
		w := l.worker("a", 2, "flood", "rare")
		w.hello(256, nil, nil)
		warm(w, "flood", time.Microsecond)
		warm(w, "rare", elapsed)
		l.pass(2 * inUse) // the rare type is not in use any more
		for range 2000 {
			l.submit(Spec{Type: "flood"})
		}
		hand := w.heard(Assign)
		if len(hand) != 258 {
			t.Fatalf("%d short tasks in hand, want 258", len(hand))
		}
		l.submit(Spec{Type: "rare"})
		for n := 0; ; n++ {
			if hand[0].Spec.Type == "rare" {
				break
			}
			if n == 400 {
				t.Errorf("%s: not handed over while 400 tasks of the flood were done", what)
				break
			}
			w.do(func() { w.answer(hand[0], EndResult, "", time.Microsecond) })
			hand = append(hand[1:], w.heard(Assign)...)
		}
	}
}
