//go:build unix

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kept is how many ended tasks the dispatcher of the soak keeps: few, so that a run of minutes forgets most.
const kept = 20_000

// measures are what must not grow, with how much more than at the early minute is still flat: a share, and something for
// the chance of the moment.
var measures = []struct {
	name, metric string
	unit         float64
	share, add   float64
}{
	// A process collects garbage for the first time when its heap is twice the 32 MiB that it begins with (see main): how
	// close it is to that is chance, above all for one that was killed a minute ago.
	{"memory, MB", "process_resident_memory_bytes", 1e6, 0.3, 40},
	{"goal of the next collection, MB", "go_memstats_next_gc_bytes", 1e6, 0.3, 10}, // twice what was alive at the last one
	{"goroutines", "go_goroutines", 1, 0.3, 50},
	{"open files", "process_open_fds", 1, 0.3, 20},
}

// disk is what the journal takes, beside the measures.
const disk = "journal on disk, MB"

// minute holds the largest value of each measure of each process.
type minute map[string]float64

// TestNothingGrowsInALongRun attacks a grid for as long as SOAK_DURATION says, and compares what each process takes in
// the last minute with what it took when a third of the time had gone.
func TestNothingGrowsInALongRun(t *testing.T) {
	length := setting(t, "SOAK_DURATION", 0, time.ParseDuration)
	if length == 0 {
		t.Skip("takes long: make soak DURATION=1h")
	}
	interval := setting(t, "CHAOS_EVERY", 5*time.Second, time.ParseDuration)
	seed := setting(t, "CHAOS_SEED", uint64(time.Now().UnixNano()), parseSeed)
	t.Logf("CHAOS_SEED=%d SOAK_DURATION=%v CHAOS_EVERY=%v", seed, length, interval)
	if length < 6*time.Minute {
		t.Fatalf("SOAK_DURATION is %v: must be at least 6m, of which the first two fill what is bounded", length)
	}
	limits := limits
	limits.Keep = kept
	a := newArena(t, seed, limits, "--keep-count", fmt.Sprint(kept))
	begun := time.Now()
	minutes := make([]minute, int(length/time.Minute)+1)
	a.run(length, interval, func() {
		m := &minutes[int(time.Since(begun)/time.Minute)]
		if *m == nil {
			*m = minute{}
		}
		a.sample(*m)
	})
	if err := a.witness.ReadAll(a.Context(), a.Client()); err != nil {
		t.Error(err)
	}
	facts, executions, err := a.judge()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s; %d tasks accepted, %d executions; %d facts judged", a.monkey.count(), len(a.witness.Accepted()), executions, facts)
	early, last := int(length/time.Minute)/3, int(length/time.Minute)-1
	t.Logf("the largest values of minute %d and of minute %d:\n%s", early, last, compare(t, minutes[early], minutes[last]))
}

// compare fails the test for each value that has grown, and returns all of them as a table for docs/failures.md.
func compare(t *testing.T, early, last minute) string {
	var table strings.Builder
	for _, key := range slices.Sorted(maps.Keys(early)) {
		share, add := 0.5, 32.0 // of the disk: a snapshot and a segment of the log more or less
		for _, m := range measures {
			if strings.HasSuffix(key, m.name) {
				share, add = m.share, m.add
			}
		}
		fmt.Fprintf(&table, "| %s | %.0f | %.0f |\n", key, early[key], last[key])
		if last[key] > early[key]*(1+share)+add {
			t.Errorf("%s has grown from %.0f to %.0f", key, early[key], last[key])
		}
	}
	return table.String()
}

// sample asks each process that has metrics for them, and enters what is larger than before. One that is down or
// stopped at the moment is asked the next time.
func (a *arena) sample(into minute) {
	for name, address := range a.metrics {
		values, err := scrape(a.t.Context(), address)
		if err != nil {
			continue
		}
		for _, m := range measures {
			key := name + ": " + m.name
			into[key] = max(into[key], values[m.metric]/m.unit)
		}
	}
	key := "dispatcher: " + disk
	into[key] = max(into[key], size(a.Journal())/1e6)
}

// scrape returns the gauges without labels.
func scrape(ctx context.Context, address string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ") // one with labels is none of ours
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = value
		}
	}
	return values, nil
}

// size returns how many bytes the files of a folder have on disk. Files that go while it counts count nothing.
func size(dir string) float64 {
	var bytes int64
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // gone
		}
		if info, err := os.Stat(path); err == nil {
			bytes += allocated(info)
		}
		return nil
	})
	return float64(bytes)
}

// allocated is what a file takes: the log's files are laid out in advance, and have holes.
func allocated(info fs.FileInfo) int64 {
	const block = 512 // of st_blocks, on every Unix
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * block
	}
	return info.Size()
}
