package bound

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// logBytes is the size of the log's file. It is full of zeros from the start, so that a sync writes data and nothing else.
const logBytes = 64 << 20

// log is a file that is synced for whole groups of records.
type log struct {
	file *os.File
	wake chan struct{} // holds one: there is something in queue

	mu    sync.Mutex
	queue []record
}

// record is something to be written.
type record struct {
	data []byte
	done func() // called by the goroutine that commits, when data is on disk
}

// openLog creates the log in a folder, which it creates too.
func openLog(folder string) (*log, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	file, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	for zeros, at := make([]byte, 4<<10), 0; at < logBytes && err == nil; at += len(zeros) {
		_, err = file.Write(zeros)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("log: %w", err)
	}
	return &log{file: file, wake: make(chan struct{}, 1)}, nil
}

// add queues a record.
func (l *log) add(data []byte, done func()) {
	l.mu.Lock()
	l.queue = append(l.queue, record{data, done})
	l.mu.Unlock()
	signal(l.wake)
}

// run commits until ctx ends. What is queued then is dropped.
func (l *log) run(ctx context.Context) error {
	defer l.file.Close()
	var group []byte
	for at := int64(0); ; {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		group = group[:0]
		for _, r := range queue {
			group = append(group, r.data...)
		}
		if at+int64(len(group)) > logBytes {
			at = 0
		}
		if _, err := l.file.WriteAt(group, at); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		at += int64(len(group))
		if err := syncData(l.file); err != nil {
			return fmt.Errorf("log: sync: %w", err)
		}
		for _, r := range queue {
			r.done()
		}
	}
}
