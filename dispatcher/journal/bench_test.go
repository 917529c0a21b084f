package journal

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counter is a StateMachine that only counts.
type counter struct{ n atomic.Int64 }

func (c *counter) Apply(records [][]byte) []any { c.n.Add(int64(len(records))); return nil }
func (c *counter) Snapshot() io.WriterTo        { return bookState(nil) }
func (c *counter) Restore(io.Reader) error      { return nil }

// benchDirectory is on a real disk, which the system's temporary directory need not be.
func benchDirectory(b *testing.B) string {
	dir, err := os.MkdirTemp(".", "bench-*.tmp") //nolint:usetesting // b.TempDir may be in memory
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// BenchmarkLoneCommit shows the way of one record when nothing else is going on.
func BenchmarkLoneCommit(b *testing.B) {
	j := start(b, Config{Directory: benchDirectory(b)}, new(counter))
	j.lead()
	record := [][]byte{make([]byte, 100)}
	took := make([]time.Duration, 0, b.N)
	done := make(chan error, 1)
	for b.Loop() {
		began := time.Now()
		if err := j.Propose(record, func(_ []any, err error) { done <- err }); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkProposers shows the group commit: records per entry, and per second.
func BenchmarkProposers(b *testing.B) {
	for _, proposers := range []int{8, 64, 256} {
		b.Run(fmt.Sprint(proposers), func(b *testing.B) { benchmarkProposers(b, proposers) })
	}
}

// benchmarkProposers has each proposer write four small records and wait for them, again and again.
func benchmarkProposers(b *testing.B, proposers int) {
	j := start(b, Config{Directory: benchDirectory(b)}, new(counter))
	j.lead()
	const perCall = 4
	records := make([][]byte, perCall)
	for i := range records {
		records[i] = make([]byte, 100)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	entries := j.Status().LastIndex
	b.ResetTimer()
	began := time.Now()
	var wg sync.WaitGroup
	for range proposers {
		wg.Go(func() {
			done := make(chan error, 1)
			for left.Add(-1) >= 0 {
				if err := j.Propose(records, func(_ []any, err error) { done <- err }); err != nil {
					b.Error(err)
					return
				}
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*perCall)/time.Since(began).Seconds(), "records/s")
	b.ReportMetric(float64(b.N*perCall)/float64(max(1, j.Status().LastIndex-entries)), "records/entry")
}
