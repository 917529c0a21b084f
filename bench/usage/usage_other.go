//go:build !linux

package usage

// Read returns ErrNotTold.
func Read(int) (Usage, error) { return Usage{}, ErrNotTold }
