package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// preallocate takes size bytes for f, so that a full disk is noticed before the first byte is written, not after.
func preallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return f.Truncate(size)
		default:
			return err
		}
	}
}

// syncData waits until what was written to f is on disk, and what is needed to read it. Times of access and change, of
// which nobody here wants to know, need not be.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
