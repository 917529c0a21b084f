package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// files is the file system as raft-wal sees it. raft-wal's own does the same, but waits for a directory to be on disk
// in a way that Windows refuses.
type files struct {
	*fs.FS
}

func newFiles() files {
	return files{fs.New()}
}

// Create implements types.VFS.
func (v files) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := preallocate(f, int64(size)); err != nil {
		f.Close()
		return nil, fmt.Errorf("allocate %d bytes for %s: %w", size, name, err)
	}
	return &logFile{File: f, dir: dir, size: int64(size)}, nil
}

// Delete implements types.VFS.
func (v files) Delete(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDirectory(dir)
}

// OpenWriter implements types.VFS.
func (v files) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Sync() // raft-wal takes for written what a killed process wrote and did not see on disk; a follower would confirm it
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{File: f, dir: dir, size: info.Size()}, nil
}

// logFile is a log file that is written from its beginning to its end.
//
// Blocks that are allocated and have never been written must be entered into the file system's own journal when they
// are, and an fsync waits for that too. On ext4 this doubles what a commit costs, in time and in processor. So zeros go
// ahead of what is written, zeroAhead at a time: one fsync in many is slow, and the others find blocks that are there.
type logFile struct {
	*os.File
	dir    string
	size   int64 // that was allocated
	zeroed int64 // up to here all has been written since the file was opened; one goroutine at a time writes
	named  bool  // its name is durable
}

// zeroAhead is as much as some fifty small entries take.
const zeroAhead = 256 << 10

// zeros are written page by page: the page cache keeps in one piece what came in one, and then counts each small write
// into it as a write of the whole.
var zeros [4096]byte

// WriteAt implements types.WritableFile. What stands behind the end of b, if anything does, was never committed.
func (f *logFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	if end := at + int64(n); err == nil && end > f.zeroed {
		f.zeroed = end
		err = f.zero(min(end+zeroAhead, f.size))
	}
	return n, err
}

// zero writes zeros up to an offset.
func (f *logFile) zero(to int64) error {
	for f.zeroed < to {
		n := min(to-f.zeroed, int64(len(zeros))-f.zeroed%int64(len(zeros)))
		if _, err := f.File.WriteAt(zeros[:n], f.zeroed); err != nil {
			return err
		}
		f.zeroed += n
	}
	return nil
}

// Sync implements types.WritableFile. The first one also makes the file, with its name and its size, durable.
func (f *logFile) Sync() error {
	if f.named {
		return syncData(f.File)
	}
	if err := f.File.Sync(); err != nil {
		return err
	}
	if err := syncDirectory(f.dir); err != nil {
		return err
	}
	f.named = true
	return nil
}

// writeFile puts a file in place such that after a crash it is there whole or not at all.
func writeFile(path string, content []byte) error {
	temporary := path + ".tmp"
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}
