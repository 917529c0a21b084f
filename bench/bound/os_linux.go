package bound

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData waits until what was written to f is on disk, as the dispatcher's journal does.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
