package core

import (
	"container/heap"
	"time"
)

// timer is something to do for a task at a time.
type timer struct {
	due   time.Time
	task  uint64
	index int // in the heap; -1 when it is in none
}

// timers is a heap of timers, the earliest on top.
type timers []*timer

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}

func (h *timers) add(t *timer) { heap.Push(h, t) }

// stop takes t out; it may be out already.
func (h *timers) stop(t *timer) {
	if t.index >= 0 {
		heap.Remove(h, t.index)
	}
}
