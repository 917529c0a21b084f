package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// entryCost is what an entry costs at the next start beside its bytes, in bytes that take as long to read: it
	// makes many small entries lead to a snapshot as well, and bounds a replay to about a second.
	entryCost = 1 << 10
	// trailingBytes is how much of the log stays behind a snapshot in a cluster, so that a follower that was away for
	// a moment does not need the whole state.
	trailingBytes = 8 << 20
	// snapshotRetry is the pause after a snapshot that failed, most likely for want of room.
	snapshotRetry = 10 * time.Second
)

// growth counts what is appended, and says when it is time for a snapshot: when as much was appended since the last
// one as that is large, but at least Config.SnapshotBytes. So the log is about as large as the state, a snapshot
// being written is another of it, and all writes are at most doubled by snapshots.
type growth struct {
	mu           sync.Mutex
	appended     int64    // bytes, since the start
	since        int64    // bytes and costs, since the last snapshot
	snapshotSize int64    // of the last snapshot
	steps        []step   // where the log stood, newest last, some trailingBytes back
	due          chan any // holds one: it is time
}

// step says how much had been appended when the log ended at index.
type step struct {
	index    uint64
	appended int64
}

// stepBytes is the distance of two steps, at least.
const stepBytes = 1 << 20

// appended is told of each write to the log.
func (j *Journal) appended(logs []*raft.Log) {
	bytes := 0
	for _, l := range logs {
		bytes += len(l.Data)
	}
	j.metrics.appendedBytes.Add(float64(bytes))
	g := &j.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	g.appended += int64(bytes)
	g.since += int64(bytes + len(logs)*entryCost)
	if n := len(g.steps); n == 0 || g.appended-g.steps[n-1].appended >= stepBytes {
		g.steps = append(g.steps, step{logs[len(logs)-1].Index, g.appended})
		for len(g.steps) > 1 && g.appended-g.steps[1].appended >= trailingBytes {
			g.steps = g.steps[1:]
		}
	}
	if g.since >= max(j.cfg.SnapshotBytes, g.snapshotSize) {
		select {
		case g.due <- nil:
		default:
		}
	}
}

// totals returns the bytes appended since the start and the size of the last snapshot.
func (g *growth) totals() (appended, snapshotSize int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.appended, g.snapshotSize
}

// trailing returns how many of the newest entries to keep behind a snapshot.
func (g *growth) trailing(last uint64) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.steps) == 0 || g.steps[0].index > last {
		return 0
	}
	return last - g.steps[0].index
}

// keepSmall takes a snapshot whenever it is time, until ctx ends.
func (j *Journal) keepSmall(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.growth.due:
		}
		if err := j.snapshot(); err != nil && ctx.Err() == nil {
			j.cfg.Logger.Error("journal: snapshot failed, will be tried again", "error", err, "after", snapshotRetry)
			select {
			case <-ctx.Done():
				return
			case <-time.After(snapshotRetry):
			}
		}
	}
}

// SnapshotNow writes a snapshot of the state as it is and gives back the log before it. It returns when that is done,
// or ctx ends; the snapshot is then written all the same.
func (j *Journal) SnapshotNow(ctx context.Context) error {
	if j.raft.Load() == nil {
		return errors.New("journal: not running")
	}
	done := make(chan error, 1)
	go func() { done <- j.snapshot() }() // ends when the snapshot is written, at the latest with Run
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

// snapshot writes a snapshot.
func (j *Journal) snapshot() error {
	r := j.raft.Load()
	reload := r.ReloadableConfig()
	reload.TrailingLogs = 0
	if len(r.GetConfiguration().Configuration().Servers) > 1 {
		reload.TrailingLogs = j.growth.trailing(r.LastIndex())
	}
	if err := r.ReloadConfig(reload); err != nil {
		return fmt.Errorf("journal: snapshot: %w", err)
	}
	j.growth.mu.Lock()
	before := j.growth.since
	j.growth.mu.Unlock()
	start := time.Now()
	future := r.Snapshot()
	if err := future.Error(); err != nil {
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return nil
		}
		j.metrics.snapshots.WithLabelValues("failed").Inc()
		return fmt.Errorf("journal: snapshot: %w", err)
	}
	size := int64(0)
	if meta, body, err := future.Open(); err == nil {
		size = meta.Size
		body.Close()
	}
	j.metrics.snapshots.WithLabelValues("ok").Inc()
	j.metrics.snapshotSeconds.Observe(time.Since(start).Seconds())
	j.setSnapshot(size, before)
	return nil
}

// setSnapshot notes that a snapshot of that size covers the first covered of what was appended since the last.
func (j *Journal) setSnapshot(size, covered int64) {
	j.metrics.snapshotBytes.Set(float64(size))
	j.growth.mu.Lock()
	defer j.growth.mu.Unlock()
	j.growth.snapshotSize = size
	j.growth.since -= covered
}
