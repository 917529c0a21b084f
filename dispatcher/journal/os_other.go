//go:build !linux

package journal

import "os"

// preallocate makes f size bytes long. Whether that takes room on the disk is the file system's choice.
func preallocate(f *os.File, size int64) error {
	return f.Truncate(size)
}

// syncData waits until what was written to f is on disk.
func syncData(f *os.File) error { return f.Sync() }
