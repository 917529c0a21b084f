package core

// fifo is a queue of ids in chunks, so that it gives memory back as it empties and never copies what it holds.
type fifo struct {
	chunks [][]uint64
	head   int // in the first chunk
	n      int
}

const fifoChunk = 1024

func (f *fifo) len() int { return f.n }

func (f *fifo) push(id uint64) {
	last := len(f.chunks) - 1
	if last < 0 || len(f.chunks[last]) == fifoChunk {
		f.chunks = append(f.chunks, make([]uint64, 0, fifoChunk))
		last++
	}
	f.chunks[last] = append(f.chunks[last], id)
	f.n++
}

// peek returns the id in front; there must be one.
func (f *fifo) peek() uint64 { return f.chunks[0][f.head] }

// pop takes the id in front; there must be one.
func (f *fifo) pop() uint64 {
	id := f.peek()
	f.head++
	f.n--
	if f.head == fifoChunk {
		f.chunks, f.head = f.chunks[1:], 0
	}
	return id
}

// at returns the id at place i, counted from the front.
func (f *fifo) at(i int) uint64 {
	i += f.head
	return f.chunks[i/fifoChunk][i%fifoChunk]
}

// list returns all ids, the one in front first.
func (f *fifo) list() []uint64 {
	ids := make([]uint64, 0, f.n)
	for i, chunk := range f.chunks {
		if i == 0 {
			chunk = chunk[f.head:]
		}
		ids = append(ids, chunk...)
	}
	return ids
}
