//go:build !race

package bubble

// Race tells whether the race detector runs.
const Race = false
