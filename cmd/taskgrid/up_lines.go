package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLine bounds a line of a child's output, in bytes; a longer one is broken.
const maxLine = 64 << 10

// lines writes whole lines of several writers to one, without mixing them.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

// say writes a line of our own.
func (l *lines) say(format string, args ...any) { l.line("up", fmt.Appendf(nil, format, args...)) }

func (l *lines) line(prefix string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%-18s | %s\n", prefix, text)
}

// prefixed is the output of one child: what is written to it comes out line by line with the child's name before it.
// It is not safe for concurrent use.
type prefixed struct {
	lines   *lines
	prefix  string
	partial []byte // the line that has not ended
	last    string // the newest whole line
}

// Write takes any piece of output.
func (p *prefixed) Write(piece []byte) (int, error) {
	n := len(piece)
	for len(piece) > 0 {
		line, rest, ended := bytes.Cut(piece, []byte("\n"))
		if room := maxLine - len(p.partial); len(line) > room {
			line, rest, ended = piece[:room], piece[room:], true
		}
		p.partial = append(p.partial, line...)
		if ended {
			p.flush()
		}
		piece = rest
	}
	return n, nil
}

// flush writes out a line that has not ended.
func (p *prefixed) flush() {
	text := bytes.TrimRight(p.partial, "\r")
	p.partial = p.partial[:0]
	if len(text) > 0 {
		p.last = string(text)
		p.lines.line(p.prefix, text)
	}
}
