//go:build race

package virtual

import (
	"os"
	"runtime"
	"testing"
)

// TestMain keeps the race detector of Go 1.26 from crashing (SIGSEGV, or "ThreadSanitizer: CHECK failed"). A timer of no
// length fires at once in the goroutine that sets it, and all of those in a bubble share one context of the detector: on
// two processors two of them may use it at the same time. On one they cannot, and races are found all the same, because
// the detector looks at what is ordered and not at what happens at the same time.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
