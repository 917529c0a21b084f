package workers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// slotsModel is what Slots promise, in the plainest words: where each attempt is, and in which order.
type slotsModel struct {
	limits   Limits
	waiting  []Key
	deadline map[Key]time.Time
	running  []Key // in the order of beginning
	unwanted map[Key]attemptState
	kept     []Outcome
	draining bool
}

func (m *slotsModel) knows(k Key) bool {
	_, unwanted := m.unwanted[k]
	return unwanted || slices.Contains(m.waiting, k) || slices.Contains(m.running, k) ||
		slices.ContainsFunc(m.kept, func(o Outcome) bool { return o.Key == k })
}

func (m *slotsModel) offer(k Key, deadline time.Time) Answer {
	switch {
	case m.knows(k):
		return Repeated
	case m.draining:
		return Draining
	case len(m.waiting)+len(m.running)+len(m.unwanted) >= m.limits.Capacity+m.limits.Window:
		return NoSlot
	}
	m.waiting = append(m.waiting, k)
	m.deadline[k] = deadline
	return Accepted
}

func (m *slotsModel) next(now time.Time) (next Key, late []Key) {
	for len(m.waiting) > 0 && len(m.running)+len(m.unwanted) < m.limits.Capacity {
		k := m.waiting[0]
		m.waiting = m.waiting[1:]
		if m.deadline[k].After(now) {
			m.running = append(m.running, k)
			return k, late
		}
		late = append(late, k)
	}
	return Key{}, late
}

func (m *slotsModel) finish(o Outcome) (tell bool) {
	if state, ok := m.unwanted[o.Key]; ok {
		delete(m.unwanted, o.Key)
		return state == cancelled
	}
	i := slices.Index(m.running, o.Key)
	if i < 0 {
		return false
	}
	m.running = slices.Delete(m.running, i, i+1)
	m.kept = append(m.kept, o)
	for len(m.kept) > m.limits.Outcomes {
		m.kept = m.kept[1:]
	}
	return true
}

func (m *slotsModel) forget(k Key) {
	m.kept = slices.DeleteFunc(m.kept, func(o Outcome) bool { return o.Key == k })
}

func (m *slotsModel) cancel(k Key) (found, runs bool) {
	m.forget(k)
	if i := slices.Index(m.waiting, k); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
		return true, false
	}
	if i := slices.Index(m.running, k); i >= 0 {
		m.running = slices.Delete(m.running, i, i+1)
		m.unwanted[k] = cancelled
		return true, true
	}
	_, unwanted := m.unwanted[k]
	return unwanted, unwanted
}

func keys(attempts []*Attempt) []Key {
	list := []Key{}
	for _, a := range attempts {
		list = append(list, a.Key)
	}
	return list
}

func TestSlotsDoWhatTheModelDoes(t *testing.T) {
	start := time.Unix(1e9, 0)
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			Capacity:     rapid.IntRange(1, 3).Draw(t, "capacity"),
			Window:       rapid.IntRange(0, 3).Draw(t, "window"),
			Outcomes:     1000, // the bound has a test of its own
			OutcomeBytes: 1 << 20,
		}
		slots := NewSlots(limits)
		model := &slotsModel{limits: limits, deadline: map[Key]time.Time{}, unwanted: map[Key]attemptState{}}
		now := start
		key := rapid.Custom(func(t *rapid.T) Key {
			return Key{rapid.Uint64Range(1, 4).Draw(t, "task"), rapid.Uint64Range(1, 2).Draw(t, "attempt")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				k := key.Draw(t, "key")
				deadline := now.Add(time.Duration(rapid.IntRange(-1, 5).Draw(t, "seconds")) * time.Second)
				same(t, "Offer", slots.Offer(&Attempt{Key: k, Deadline: deadline}), model.offer(k, deadline))
			},
			"next": func(t *rapid.T) {
				a, late := slots.Next(now)
				want, wantLate := model.next(now)
				got := Key{}
				if a != nil {
					got = a.Key
				}
				same(t, "Next", got, want)
				same(t, "late of Next", keys(late), append([]Key{}, wantLate...))
			},
			"finish": func(t *rapid.T) {
				o := Outcome{Key: key.Draw(t, "key"), Result: "x"}
				tell, _ := slots.Finish(o)
				same(t, "Finish", tell, model.finish(o))
			},
			"cancel": func(t *rapid.T) {
				k := key.Draw(t, "key")
				a, runs := slots.Cancel(k)
				found, wantRuns := model.cancel(k)
				same(t, "Cancel", []bool{a != nil, runs}, []bool{found, wantRuns})
			},
			"acknowledge": func(t *rapid.T) {
				k := key.Draw(t, "key")
				slots.Acknowledge(k)
				model.forget(k)
			},
			"drain": func(t *rapid.T) {
				if !rapid.Bool().Draw(t, "really") {
					t.Skip("too often, and nothing else is seen")
				}
				same(t, "Drain", keys(slots.Drain()), append([]Key{}, model.waiting...))
				model.draining, model.waiting = true, nil
			},
			"hand back": func(t *rapid.T) {
				if !model.draining {
					t.Skip("comes after the drain")
				}
				same(t, "HandBack", keys(slots.HandBack()), append([]Key{}, model.running...))
				for _, k := range model.running {
					model.unwanted[k] = handedBack
				}
				model.running = nil
			},
			"a second passes": func(*rapid.T) { now = now.Add(time.Second) },
			"": func(t *rapid.T) {
				same(t, "Held", keys(slots.Held()), append(append([]Key{}, model.running...), model.waiting...))
				same(t, "Unacknowledged", slots.Unacknowledged(), append([]Outcome{}, model.kept...))
				load := slots.Load()
				same(t, "Load", []int{load.Waiting, load.Running}, []int{len(model.waiting), len(model.running) + len(model.unwanted)})
				if load.Running > limits.Capacity || load.Held() > limits.Capacity+limits.Window {
					t.Fatalf("over the limits: %+v of %+v", load, limits)
				}
				done := len(model.waiting)+len(model.running)+len(model.kept) == 0
				same(t, "Finished", slots.Finished(), done)
			},
		})
	})
}

func same[T any](t *rapid.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Key) bool { return a == b })); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTheOldestOutcomesGoWhenTooManyAreNotAcknowledged(t *testing.T) {
	l := newLedger(3, 1<<20)
	dropped := 0
	for n := range uint64(10) {
		dropped += l.add(Outcome{Key: Key{n, 1}})
	}
	if dropped != 7 || l.len() != 3 || l.all()[0].Task != 7 {
		t.Errorf("of ten outcomes with a bound of three %d were dropped, %v are kept", dropped, l.all())
	}
}

func TestTheOldestOutcomesGoWhenTheyAreTooLarge(t *testing.T) {
	l := newLedger(1000, 1000)
	for n := range uint64(10) {
		l.add(Outcome{Key: Key{n, 1}, Result: fmt.Sprintf("%0200d", n)})
		if l.bytes > 1000 {
			t.Fatalf("%d bytes are kept, the bound is 1000", l.bytes)
		}
	}
	l.add(Outcome{Key: Key{99, 1}, Result: fmt.Sprintf("%05000d", 1)})
	if kept := l.all(); len(kept) != 1 || kept[0].Task != 99 {
		t.Errorf("one that is larger than the bound is kept alone, and sent; got %v", kept)
	}
}

func TestAnOutcomeThatIsNeverAcknowledgedHoldsNoMemoryOfOthers(t *testing.T) {
	l := newLedger(100, 1<<20)
	l.add(Outcome{Key: Key{1, 1}})
	for n := range uint64(100_000) {
		k := Key{n + 2, 1}
		l.add(Outcome{Key: k})
		l.remove(k)
	}
	if len(l.entries) > 100 || len(l.number) > 1 {
		t.Errorf("%d entries and %d numbers for at most one outcome", len(l.entries), len(l.number))
	}
}

func TestALedgerThatIsEmptiedHasNoBytes(t *testing.T) {
	l := newLedger(100, 1<<20)
	for n := range uint64(50) {
		l.add(Outcome{Key: Key{n, 1}, Result: "some text"})
	}
	for n := range uint64(50) {
		l.remove(Key{(n * 7) % 50, 1}) // in another order
	}
	if l.bytes != 0 || l.len() != 0 || len(l.entries) != 0 {
		t.Errorf("%d bytes, %d outcomes, %d entries", l.bytes, l.len(), len(l.entries))
	}
}
