// Package usage reads what a process has used: processor time, bytes written to disk, memory. Only Linux tells it of
// other processes in plain files; elsewhere Read returns ErrNotTold.
package usage

import (
	"errors"
	"time"
)

// ErrNotTold is returned where the platform does not tell.
var ErrNotTold = errors.New("this platform does not tell what other processes use")

// Usage is what a process has used since it began, and has in memory now.
type Usage struct {
	CPU     time.Duration // in user and kernel mode, all threads
	Written int64         // bytes that went, or will go, to disk; 0 where the kernel does not count them
	RSS     int64         // bytes of memory
}
