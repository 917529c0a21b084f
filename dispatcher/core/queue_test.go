package core

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheFifoIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f fifo
		var model []uint64
		next := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 10, fifoChunk - 1, fifoChunk}).Draw(t, "n") {
					f.push(next)
					model = append(model, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				for range min(len(model), rapid.SampledFrom([]int{1, 9, fifoChunk, fifoChunk + 1}).Draw(t, "n")) {
					if peeked, got := f.peek(), f.pop(); peeked != model[0] || got != model[0] {
						t.Fatalf("peek %d, pop %d, want %d", peeked, got, model[0])
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if f.len() != len(model) || !slices.Equal(f.list(), model) {
					t.Fatalf("holds %d, want %d", f.len(), len(model))
				}
				if len(model) > 0 {
					if i := rapid.IntRange(0, len(model)-1).Draw(t, "i"); f.at(i) != model[i] {
						t.Fatalf("at %d: got %d, want %d", i, f.at(i), model[i])
					}
				}
				if most := len(model)/fifoChunk + 2; len(f.chunks) > most {
					t.Fatalf("%d chunks for %d ids: it does not give memory back", len(f.chunks), len(model))
				}
			},
		})
	})
}

func TestTheDequeIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deque
		var model []*Task
		t.Repeat(map[string]func(*rapid.T){
			"push back": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 5, 1500}).Draw(t, "n") {
					task := new(Task)
					d.pushBack(task)
					model = append(model, task)
				}
			},
			"push front": func(*rapid.T) {
				task := new(Task)
				d.pushFront(task)
				model = slices.Insert(model, 0, task)
			},
			"pop": func(t *rapid.T) {
				for range min(len(model), rapid.SampledFrom([]int{1, 6, 2000}).Draw(t, "n")) {
					if front, got := d.front(), d.popFront(); front != model[0] || got != model[0] {
						t.Fatal("another task than the one in front")
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if d.n != len(model) {
					t.Fatalf("holds %d, want %d", d.n, len(model))
				}
				for i, task := range model {
					if d.at(i) != task {
						t.Fatalf("another task at %d", i)
					}
				}
				held := 0
				for _, task := range d.ring {
					if task != nil {
						held++
					}
				}
				if held != len(model) || len(model) == 0 && len(d.ring) > 1024 {
					t.Fatalf("keeps %d tasks and %d places for %d", held, len(d.ring), len(model))
				}
			},
		})
	})
}

// queueModel is a queue as a list of what was pushed, searched for what is next.
type queueModel struct {
	tasks []*Task // in the order of Order
	dead  map[*Task]bool
}

func (m *queueModel) front() *Task {
	var best *Task
	for _, t := range m.tasks {
		if !m.dead[t] && (best == nil || t.Priority > best.Priority) {
			best = t
		}
	}
	return best
}

func TestTheQueueGivesThePriorityFirstAndThenTheOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, m := queue{}, queueModel{dead: map[*Task]bool{}}
		live := func(t *Task) bool { return !m.dead[t] }
		order := uint64(0)
		var popped []*Task
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 3, 700}).Draw(t, "n") {
					order++
					task := &Task{Spec: &Spec{Priority: rapid.Int32Range(0, Priorities-1).Draw(t, "priority") % 3 * 4}, Order: order}
					q.push(task)
					m.tasks = append(m.tasks, task)
				}
			},
			"pop": func(t *rapid.T) {
				got, want := q.front(live), m.front()
				if got != want {
					t.Fatalf("front: got %+v, want %+v", got, want)
				}
				if got != nil {
					q.pop(got)
					m.tasks = slices.DeleteFunc(m.tasks, func(other *Task) bool { return other == got })
					popped = append(popped, got)
				}
			},
			"give back": func(*rapid.T) {
				if len(popped) > 0 {
					back := popped[rapid.IntRange(0, len(popped)-1).Draw(t, "which")]
					popped = slices.DeleteFunc(popped, func(other *Task) bool { return other == back })
					q.giveBack(back)
					at, _ := slices.BinarySearchFunc(m.tasks, back.Order, func(t *Task, order uint64) int { return int(t.Order) - int(order) })
					m.tasks = slices.Insert(m.tasks, at, back)
				}
			},
			"bury": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 1500}).Draw(t, "n") {
					if i := rapid.IntRange(0, len(m.tasks)).Draw(t, "which"); i < len(m.tasks) && !m.dead[m.tasks[i]] {
						m.dead[m.tasks[i]] = true
						q.bury(live)
					}
				}
			},
			"": func(t *rapid.T) {
				alive := 0
				for _, task := range m.tasks {
					if !m.dead[task] {
						alive++
					}
				}
				if q.held-q.dead != alive || q.held > 2*alive+1024 {
					t.Fatalf("holds %d, %d dead; %d are alive", q.held, q.dead, alive)
				}
			},
		})
	})
}
