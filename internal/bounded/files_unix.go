//go:build unix

package bounded

import "golang.org/x/sys/unix"

// Files returns how many files the process may have open, or most if that is less.
func Files(most int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return most
	}
	return int(min(uint64(limit.Cur), uint64(most))) //nolint:unconvert // its type differs between systems
}
