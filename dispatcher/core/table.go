package core

// table finds a task by its id. Ids are given out in order, so it is a list of pages; a page whose tasks are all
// forgotten is let go.
type table struct {
	pages []*page // page i holds the ids from i*pageSize on, counted from base
	base  uint64  // number of pages already let go at the front
	count int     // tasks in it
}

const pageSize = 1024

type page struct {
	tasks [pageSize]*Task
	used  int
}

func (tb *table) get(id uint64) *Task {
	p := tb.page(id)
	if p == nil {
		return nil
	}
	return p.tasks[id%pageSize]
}

func (tb *table) page(id uint64) *page {
	n := id / pageSize
	if n < tb.base || n-tb.base >= uint64(len(tb.pages)) {
		return nil
	}
	return tb.pages[n-tb.base]
}

// put enters or replaces a task.
func (tb *table) put(t *Task) {
	n := t.ID / pageSize
	if len(tb.pages) == 0 {
		tb.base = n
	}
	for n-tb.base >= uint64(len(tb.pages)) {
		tb.pages = append(tb.pages, nil)
	}
	p := tb.pages[n-tb.base]
	if p == nil {
		p = new(page)
		tb.pages[n-tb.base] = p
	}
	slot := &p.tasks[t.ID%pageSize]
	if *slot == nil {
		p.used++
		tb.count++
	}
	*slot = t
}

// remove forgets a task.
func (tb *table) remove(id uint64) {
	p := tb.page(id)
	if p == nil || p.tasks[id%pageSize] == nil {
		return
	}
	p.tasks[id%pageSize] = nil
	p.used--
	tb.count--
	if p.used > 0 {
		return
	}
	tb.pages[id/pageSize-tb.base] = nil
	for len(tb.pages) > 0 && tb.pages[0] == nil {
		tb.pages = tb.pages[1:]
		tb.base++
	}
}

// clone copies the pages, so that they can be read while the original changes. One million tasks take 8 MB.
func (tb *table) clone() table {
	c := table{pages: make([]*page, len(tb.pages)), base: tb.base, count: tb.count}
	for i, p := range tb.pages {
		if p != nil {
			copied := *p
			c.pages[i] = &copied
		}
	}
	return c
}

// each calls do for every task, in the order of the ids.
func (tb *table) each(do func(*Task)) {
	for _, p := range tb.pages {
		if p == nil {
			continue
		}
		for _, t := range p.tasks {
			if t != nil {
				do(t)
			}
		}
	}
}
