package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress tells what is being measured: on a terminal in one line that changes, elsewhere not at all.
type progress struct {
	w     io.Writer
	began time.Time
}

// progressWidth is the length of the bar, in characters.
const progressWidth = 30

func newProgress(w *os.File) *progress {
	p := &progress{w: io.Discard, began: time.Now()}
	if term.IsTerminal(int(w.Fd())) {
		p.w = w
	}
	return p
}

// tell says what is being done, and how many steps of all are done.
func (p *progress) tell(what string, done, all int) {
	full := progressWidth * done / all
	left := ""
	if done > 0 {
		rest := time.Since(p.began) / time.Duration(done) * time.Duration(all-done)
		left = ", " + rest.Round(time.Second).String() + " left"
	}
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s%s", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), what, left)
}

func (p *progress) end() { fmt.Fprint(p.w, "\r\x1b[K") }

// loadAverage is what else the machine does, as the kernel says it: "1.20 0.80 0.50" over 1, 5 and 15 minutes; "" where
// it does not.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) >= 3 {
		return strings.Join(fields[:3], " ")
	}
	return ""
}
