package core

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTheTableIsAMapOfGrowingIds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tb table
		model := map[uint64]*Task{}
		next := rapid.Uint64Range(1, 5000).Draw(t, "first id")
		kept := func() []uint64 { return slices.Sorted(maps.Keys(model)) }
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				stride := rapid.SampledFrom([]uint64{1, 7, 300, pageSize, 3*pageSize + 1, blockSize + 7, 5 * blockSize}).Draw(t, "stride")
				for range rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "n") {
					model[next] = &Task{ID: next}
					tb.put(model[next])
					next += stride
				}
			},
			"replace": func(t *rapid.T) {
				if ids := kept(); len(ids) > 0 {
					id := rapid.SampledFrom(ids).Draw(t, "id")
					model[id] = &Task{ID: id}
					tb.put(model[id])
				}
			},
			"forget a run": func(t *rapid.T) {
				ids := kept()
				from := rapid.IntRange(0, len(ids)).Draw(t, "from")
				for _, id := range ids[from:min(len(ids), from+rapid.SampledFrom([]int{1, 50, 500}).Draw(t, "n"))] {
					delete(model, id)
					tb.remove(id)
					tb.remove(id)
				}
			},
			"forget what is not there": func(t *rapid.T) { tb.remove(rapid.Uint64().Draw(t, "id") | 1<<60) },
			"":                         func(t *rapid.T) { compareTable(t, &tb, model, next) },
		})
	})
}

func compareTable(t *rapid.T, tb *table, model map[uint64]*Task, next uint64) {
	ids := slices.Sorted(maps.Keys(model))
	var got []uint64
	tb.each(func(task *Task) {
		if model[task.ID] != task || tb.get(task.ID) != task {
			t.Fatalf("task %d: the table has another version", task.ID)
		}
		got = append(got, task.ID)
	})
	if !slices.Equal(got, ids) || tb.count != len(ids) {
		t.Fatalf("table holds %d tasks, counts %d; want %d", len(got), tb.count, len(ids))
	}
	for _, id := range []uint64{0, next, next + pageSize, 1 << 63} {
		if tb.get(id) != nil {
			t.Fatalf("task %d was never entered", id)
		}
	}
	pages, kept := map[uint64]bool{}, 0
	for _, id := range ids {
		pages[id/pageSize] = true
	}
	for _, b := range tb.blocks {
		if b != nil {
			kept += b.used
		}
	}
	if kept != len(pages) {
		t.Fatalf("%d pages are kept, %d hold tasks", kept, len(pages))
	}
	if len(ids) == 0 && len(tb.blocks) > 0 || len(ids) > 0 && (tb.base != ids[0]/blockSize || tb.firstPage() != ids[0]/pageSize) {
		t.Fatalf("%d blocks from block %d on, the first page %d, are kept for tasks from %v on", len(tb.blocks), tb.base, tb.firstPage(), ids[:min(1, len(ids))])
	}
}

func TestACloneOfTheTableStaysAsItWas(t *testing.T) {
	var tb table
	for id := range uint64(3 * pageSize) {
		tb.put(&Task{ID: id + 1})
	}
	clone, before := tb.clone(), tb.get(5)
	tb.put(&Task{ID: 5})
	for id := range uint64(2 * pageSize) {
		tb.remove(id + 1)
	}
	if clone.get(5) != before || clone.count != 3*pageSize || clone.get(7) == nil {
		t.Error("the clone changed with the table")
	}
}

func TestPagesAreWalkedWithoutTheForgottenOnes(t *testing.T) {
	h := newHistory(t)
	for range 2*PageTasks + 10 {
		h.apply(&Cancel{At: h.now, Task: h.submit(Spec{})})
	}
	h.apply(&Forget{Count: PageTasks + 5})
	if got := h.m.FirstPage(); got != 1 {
		t.Errorf("first page: got %d, want 1, the one before is forgotten", got)
	}
	var got []uint64
	for n := h.m.FirstPage(); n*PageTasks <= h.m.LastID(); n++ {
		for _, task := range h.m.Page(n) {
			got = append(got, task.ID)
		}
	}
	if len(got) != PageTasks+5 || got[0] != PageTasks+6 || got[len(got)-1] != 2*PageTasks+10 || !slices.IsSorted(got) {
		t.Errorf("got %d tasks from %d to %d; want %d from %d to %d", len(got), got[0], got[len(got)-1], PageTasks+5, PageTasks+6, 2*PageTasks+10)
	}
	if h.m.Page(0) != nil || h.m.Page(99) != nil {
		t.Error("pages that do not exist have tasks")
	}
}
