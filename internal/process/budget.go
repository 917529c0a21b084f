package process

import (
	"sync"
	"time"
)

// linesPerSecond is how many log lines about single tasks a process writes in a second, below debug level. In front of
// a class each task is seen; at full speed the log costs nothing.
const linesPerSecond = 100

// LineBudget bounds the log lines about single tasks. The zero value is ready; it may be used by any goroutine.
type LineBudget struct {
	mu     sync.Mutex
	second int64 // the one that is being counted, in Unix time
	lines  int   // in it
}

// Allows says whether one more line may be written now, and counts it.
func (b *LineBudget) Allows(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := now.Unix(); s != b.second {
		b.second, b.lines = s, 0
	}
	b.lines++
	return b.lines <= linesPerSecond
}
