//go:build !linux

package journal

import "os"

// preallocate makes f size bytes long. Whether that takes room on the disk is the file system's choice.
func preallocate(f *os.File, size int64) error {
	return f.Truncate(size)
}
