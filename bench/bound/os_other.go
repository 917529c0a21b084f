//go:build !linux

package bound

import "os"

// syncData waits until what was written to f is on disk.
func syncData(f *os.File) error { return f.Sync() }
