package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
)

// segmentBytes is the size of one log file. Files are given back whole when a snapshot covers them and are allocated
// whole when they are begun: small ones keep the directory small, large ones make the pause between two of them rare.
const segmentBytes = 16 << 20

// diskLog is raft-wal in a directory, with what it leaves to its user:
//   - its own database is closed with it (raft-wal leaves it open, and the next Open in this process would hang);
//   - a truncation waits for a log file that is being begun (see rotation);
//   - the mark (see mark.go) follows every write, so that a log that lost its end is noticed.
type diskLog struct {
	*wal.WAL
	meta *watchedMeta
	turn *rotation

	mu   sync.Mutex // one write or truncation at a time
	mark *mark
}

// openDiskLog opens or creates the log in dir, in files of about the given size.
func openDiskLog(dir string, size int, log hclog.Logger) (*diskLog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := prepareMeta(dir); err != nil {
		return nil, fmt.Errorf("log in %s: %w", dir, err)
	}
	turn := newRotation(segment.NewFiler(dir, newFiles()))
	meta := &watchedMeta{turn: turn}
	w, err := wal.Open(dir, wal.WithLogger(log), wal.WithCodec(logCodec{}), wal.WithMetaStore(meta),
		wal.WithSegmentFiler(turn), wal.WithSegmentSize(size))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in %s: %w", dir, err), meta.Close())
	}
	m, err := openMark(filepath.Join(dir, "mark"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in %s: %w", dir, err), w.Close(), meta.Close())
	}
	return &diskLog{WAL: w, meta: meta, turn: turn, mark: m}, nil
}

// StoreLogs implements raft.LogStore.
func (d *diskLog) StoreLogs(logs []*raft.Log) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.WAL.StoreLogs(logs); err != nil {
		if cause := d.turn.failure(); cause != nil {
			return fmt.Errorf("begin a log file: %w", cause) // raft-wal only says that the old one is full
		}
		return err
	}
	return d.mark.raise(logs[len(logs)-1].Index)
}

// StoreLog implements raft.LogStore.
func (d *diskLog) StoreLog(log *raft.Log) error {
	return d.StoreLogs([]*raft.Log{log})
}

// DeleteRange implements raft.LogStore.
func (d *diskLog) DeleteRange(first, last uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn.wait()
	end, err := d.LastIndex()
	if err != nil {
		return err
	}
	if last >= end && first > 0 {
		if err := d.mark.lower(first - 1); err != nil {
			return err
		}
	}
	return d.WAL.DeleteRange(first, last)
}

// files returns how many log files there are.
func (d *diskLog) files() int64 {
	all, err := d.turn.List()
	if err != nil {
		return 0
	}
	return int64(len(all))
}

// Close closes the files. The log is not used any more.
func (d *diskLog) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn.wait()
	return errors.Join(d.WAL.Close(), d.meta.Close(), d.mark.close())
}
