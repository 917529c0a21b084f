package core

// table finds a task by its id. Ids are given out in order, so it is a list of pages, in blocks. A page or a block whose
// tasks are all forgotten is let go: what a task costs that stays while thousands of millions come and go is 8 bytes for
// each million.
type table struct {
	blocks []*block // block i holds the ids from i*blockSize on, counted from base
	base   uint64   // number of blocks already let go at the front
	count  int      // tasks in it
}

const (
	pageSize   = 1024
	blockPages = 1024
	blockSize  = blockPages * pageSize
)

type block struct {
	pages [blockPages]*page
	used  int
}

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
	n := id / blockSize
	if n < tb.base || n-tb.base >= uint64(len(tb.blocks)) || tb.blocks[n-tb.base] == nil {
		return nil
	}
	return tb.blocks[n-tb.base].pages[id/pageSize%blockPages]
}

// firstPage returns the number of the first page that holds a task; 0 when none does.
func (tb *table) firstPage() uint64 {
	if len(tb.blocks) > 0 {
		for i, p := range tb.blocks[0].pages {
			if p != nil {
				return tb.base*blockPages + uint64(i)
			}
		}
	}
	return 0
}

// put enters or replaces a task. A task that is not in it has a higher id than all that are.
func (tb *table) put(t *Task) {
	p := tb.page(t.ID)
	if p == nil {
		p = tb.addPage(t.ID)
	}
	slot := &p.tasks[t.ID%pageSize]
	if *slot == nil {
		p.used++
		tb.count++
	}
	*slot = t
}

// addPage makes the page for an id.
func (tb *table) addPage(id uint64) *page {
	n := id / blockSize
	if len(tb.blocks) == 0 {
		tb.base = n
	}
	for n-tb.base >= uint64(len(tb.blocks)) {
		tb.blocks = append(tb.blocks, nil)
	}
	b := tb.blocks[n-tb.base]
	if b == nil {
		b = new(block)
		tb.blocks[n-tb.base] = b
	}
	p := new(page)
	b.pages[id/pageSize%blockPages] = p
	b.used++
	return p
}

// remove forgets a task.
func (tb *table) remove(id uint64) {
	p := tb.page(id)
	if p == nil || p.tasks[id%pageSize] == nil {
		return
	}
	p.tasks[id%pageSize] = nil
	tb.count--
	if p.used--; p.used > 0 {
		return
	}
	n := id/blockSize - tb.base
	b := tb.blocks[n]
	b.pages[id/pageSize%blockPages] = nil
	if b.used--; b.used > 0 {
		return
	}
	tb.blocks[n] = nil
	for len(tb.blocks) > 0 && tb.blocks[0] == nil {
		tb.blocks = tb.blocks[1:]
		tb.base++
	}
}

// clone copies blocks and pages, so that they can be read while the original changes. One million tasks take 8 MB.
func (tb *table) clone() table {
	c := table{blocks: make([]*block, len(tb.blocks)), base: tb.base, count: tb.count}
	for i, b := range tb.blocks {
		if b == nil {
			continue
		}
		copied := *b
		c.blocks[i] = &copied
		for j, p := range copied.pages {
			if p != nil {
				tasks := *p
				copied.pages[j] = &tasks
			}
		}
	}
	return c
}

// each calls do for every task, in the order of the ids.
func (tb *table) each(do func(*Task)) {
	for _, b := range tb.blocks {
		if b == nil {
			continue
		}
		for _, p := range b.pages {
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
}
