package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"
)

// book is a StateMachine that keeps its records as they came.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) Apply(records [][]byte) []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	results := make([]any, len(records))
	for i, r := range records {
		b.lines = append(b.lines, string(r))
		results[i] = len(b.lines)
	}
	return results
}

func (b *book) Snapshot() io.WriterTo {
	return bookState(b.all())
}

// all returns the lines there are.
func (b *book) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines[:len(b.lines):len(b.lines)]
}

type bookState []string

func (s bookState) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	for _, l := range s {
		buf.Write(binary.AppendUvarint(nil, uint64(len(l))))
		buf.WriteString(l)
	}
	return buf.WriteTo(w)
}

func (b *book) Restore(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = nil
	for len(content) > 0 {
		line, rest, ok := cutBytes(content)
		if !ok {
			return fmt.Errorf("line %d is cut off", len(b.lines))
		}
		b.lines = append(b.lines, string(line))
		content = rest
	}
	return nil
}

// running is a journal that runs.
type running struct {
	*Journal
	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// quick returns cfg with an id, and without the wait for others in a cluster of one.
func quick(cfg Config) Config {
	if cfg.ID == "" {
		cfg.ID = "d1"
	}
	if cfg.Transport == nil && cfg.RaftAddress == "" {
		cfg.HeartbeatTimeout = 5 * time.Millisecond
	}
	return cfg
}

// start opens and runs a journal; it is stopped with the test.
func start(t testing.TB, cfg Config, sm StateMachine) *running {
	t.Helper()
	cfg = quick(cfg)
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	j, err := Open(cfg, sm)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return run(t, j)
}

func run(t testing.TB, j *Journal) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Journal: j, t: t, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- j.Run(ctx) }()
	t.Cleanup(r.close)
	return r
}

// close stops the journal.
func (r *running) close() {
	r.stop()
	if err, ok := <-r.done; ok {
		close(r.done)
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

// lead waits until the journal leads.
func (r *running) lead() Leadership {
	r.t.Helper()
	for {
		select {
		case l, ok := <-r.Leadership():
			if !ok {
				r.t.Fatal("Run ended")
			}
			if l.Leading {
				return l
			}
		case <-time.After(20 * time.Second):
			r.t.Fatalf("no leader: %+v", r.Status())
		}
	}
}

// write proposes one record and waits for its result.
func (r *running) write(record string) (any, error) {
	type answer struct {
		results []any
		err     error
	}
	c := make(chan answer, 1)
	if err := r.Propose([][]byte{[]byte(record)}, func(results []any, err error) { c <- answer{results, err} }); err != nil {
		return nil, err
	}
	a := <-c
	if a.err != nil || a.results == nil {
		return nil, a.err
	}
	return a.results[0], nil
}

func TestARestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for round := range 3 {
		sm := new(book)
		j := start(t, Config{Directory: dir}, sm)
		j.lead()
		if got := sm.all(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: after the start the book has %q, want %q", round, got, want)
		}
		for i := range 3 {
			line := fmt.Sprintf("%d/%d", round, i)
			want = append(want, line)
			got, err := j.write(line)
			if err != nil || got != len(want) {
				t.Fatalf("write %q = %v, %v; want %d", line, got, err, len(want))
			}
		}
		if round == 1 {
			if err := j.SnapshotNow(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		j.close()
	}
}
