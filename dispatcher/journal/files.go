package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

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
	return &logFile{File: f, dir: dir}, nil
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
	return &logFile{File: f, dir: dir}, nil
}

// logFile is a file whose first Sync also makes its name durable.
type logFile struct {
	*os.File
	dir   string
	named atomic.Bool
}

// Sync implements types.WritableFile.
func (f *logFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	if f.named.Load() {
		return nil
	}
	if err := syncDirectory(f.dir); err != nil {
		return err
	}
	f.named.Store(true)
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
