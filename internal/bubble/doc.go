// Package bubble keeps the race detector of Go 1.26 from crashing (SIGSEGV, or "ThreadSanitizer: CHECK failed") in
// tests that run in testing/synctest bubbles. Each package with such tests imports it, for its effect, in bubble_test.go.
//
// A timer of no length fires at once in the goroutine that sets it, and all of those in a bubble share one context of the
// detector: on two processors two of them may use it at the same time (bufconn starts every connection with such a
// timer). On one they cannot, and races are found all the same, because the detector looks at what is ordered and not at
// what happens at the same time.
package bubble
