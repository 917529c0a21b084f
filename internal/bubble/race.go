//go:build race

package bubble

import "runtime"

// Race tells whether the race detector runs.
const Race = true

func init() { runtime.GOMAXPROCS(1) }
