package usage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc, 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// Read returns what the process has used.
func Read(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// The name, in parentheses, may contain anything; the fields behind it are numbered from 3.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 22 {
		return Usage{}, fmt.Errorf("/proc/%d/stat: only %d fields", pid, len(fields))
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(fields[field-3], 10, 64) // the kernel writes numbers
		return n
	}
	return Usage{
		CPU:     time.Duration(number(14)+number(15)) * tick,
		RSS:     number(24) * int64(os.Getpagesize()),
		Written: written(pid),
	}, nil
}

func written(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0 // not told to this user
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
