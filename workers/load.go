package workers

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// processorLoad tells how busy the machine's processors are. It reads what Linux counts in /proc/stat; elsewhere it
// tells 0.
type processorLoad struct {
	mu          sync.Mutex
	busyT, allT uint64 // as counted at the call before
	last        float64
}

// busy returns the share of time that the processors did not idle since the call before, 0 to 1.
func (l *processorLoad) busy() float64 {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	busy, all := parseStat(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if all > l.allT {
		l.last = float64(busy-l.busyT) / float64(all-l.allT)
		l.busyT, l.allT = busy, all
	}
	return min(max(l.last, 0), 1)
}

// parseStat adds up the first line of /proc/stat: "cpu user nice system idle iowait irq softirq steal …", in ticks.
func parseStat(line string) (busy, all uint64) {
	fields := strings.Fields(line)
	for i := 1; i < len(fields) && i <= 8; i++ {
		ticks, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, 0
		}
		all += ticks
		if idle := i == 4 || i == 5; !idle {
			busy += ticks
		}
	}
	return busy, all
}
