package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// refused opens and runs a journal that must be refused, and returns in which words.
func refused(t *testing.T, cfg Config) string {
	t.Helper()
	j, err := Open(quick(cfg), new(book))
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err = j.Run(ctx)
	}
	if err == nil {
		t.Fatal("it was not refused")
	}
	return err.Error()
}

// filled returns a data directory with n lines in it, each written by an entry of its own.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	j := start(t, Config{Directory: dir}, new(book))
	j.lead()
	for i := range n {
		if _, err := j.write(fmt.Sprintf("line %04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	j.close()
	return dir
}

// reopened returns what a journal in dir holds.
func reopened(t *testing.T, dir string) []string {
	t.Helper()
	sm := new(book)
	j := start(t, Config{Directory: dir}, sm)
	j.lead()
	j.close()
	return sm.all()
}

// newest returns the last file of the pattern.
func newest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s (%v)", pattern, dir, err)
	}
	return slices.Max(names)
}

// copied returns a copy of a data directory.
func copied(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// trim gives back the room that the newest log file of a closed journal has taken ahead, all but a little, and returns
// the file's name in dir and where its content ends.
func trim(t *testing.T, dir string) (name string, end int) {
	t.Helper()
	path := newest(t, dir, "wal/*.wal")
	damage(t, path, func(b []byte) []byte {
		end = len(bytes.TrimRight(b, "\x00"))
		return b[:end+64]
	})
	name, err := filepath.Rel(dir, path)
	if err != nil {
		t.Fatal(err)
	}
	return name, end
}

// damage changes the content of a file.
func damage(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAFailedWriteStopsTheJournal: nothing is acknowledged after it, Run says why, and after a restart everything that
// was acknowledged is there, in order, and of the rest a beginning.
func TestAFailedWriteStopsTheJournal(t *testing.T) {
	for _, kind := range []faultKind{faultKeep, faultLose} {
		dir := t.TempDir()
		j, err := Open(quick(Config{Directory: dir}), new(book))
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		writes, leads, failed := 0, false, false
		j.guard.inject = func(op string) faultKind {
			mu.Lock()
			defer mu.Unlock()
			if leads {
				writes++
			}
			if writes != 8 || failed {
				return faultNone
			}
			failed = true
			return kind
		}
		r := &running{Journal: j, t: t, stop: func() {}, done: make(chan error, 1)}
		go func() { r.done <- j.Run(t.Context()) }()
		r.lead()
		mu.Lock()
		leads = true
		mu.Unlock()
		var proposed, acknowledged []string
		for i := 0; ; i++ {
			line := fmt.Sprintf("line %d", i)
			_, err := r.write(line)
			if errors.Is(err, ErrNotLeader) {
				break
			}
			proposed = append(proposed, line)
			if err == nil {
				acknowledged = append(acknowledged, line)
			} else if !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %v, want ErrUnknown", line, err)
			}
		}
		err = <-r.done
		if err == nil || !strings.Contains(err.Error(), "append at ") || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("Run = %v, want the append that failed and the reason in words", err)
		}
		if len(proposed) != len(acknowledged)+1 {
			t.Errorf("%d proposed, %d acknowledged; want exactly one whose fate is unknown", len(proposed), len(acknowledged))
		}
		want := acknowledged
		if kind == faultKeep {
			want = proposed
		}
		if diff := cmp.Diff(want, reopened(t, dir)); diff != "" {
			t.Errorf("fault %d: after the restart (-want +got):\n%s", kind, diff)
		}
	}
}

// TestACutLogIsRefused: an acknowledged entry is never dropped in silence, wherever the last file ends or is damaged.
func TestACutLogIsRefused(t *testing.T) {
	const lines = 6
	source := filled(t, lines)
	name, end := trim(t, source)
	for at := end - 1; at > 0; at -= max(1, end/20) {
		for _, change := range []func([]byte) []byte{
			func(b []byte) []byte { return b[:at] },                         // cut
			func(b []byte) []byte { clear(b[at:]); return b },               // not written
			func(b []byte) []byte { b[at] ^= 0x40; return b },               // one bit
			func(b []byte) []byte { clear(b[at:min(at+8, end)]); return b }, // a hole
		} {
			dir := copied(t, source)
			damage(t, filepath.Join(dir, name), change)
			sm := new(book)
			j, err := Open(quick(Config{Directory: dir}), sm)
			if err == nil {
				r := &running{Journal: j, t: t, done: make(chan error, 1)}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				go func() { r.done <- j.Run(ctx) }()
				select {
				case <-j.Leadership():
				case err = <-r.done:
				}
				cancel()
				if err == nil {
					err = <-r.done
				}
			}
			if err == nil && len(sm.all()) != lines {
				t.Errorf("damage at %d of %d: it opened with %d of %d lines", at, end, len(sm.all()), lines)
			}
		}
	}
}

// TestATornWriteIsDropped: the last write did not end, and was not acknowledged.
func TestATornWriteIsDropped(t *testing.T) {
	dir := t.TempDir()
	sm := new(book)
	j := start(t, Config{Directory: dir}, sm)
	j.lead()
	for i := range 5 {
		if _, err := j.write(fmt.Sprintf("line %04d", i)); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(newest(t, dir, "wal/*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	from := len(bytes.TrimRight(log, "\x00"))
	before, err := os.ReadFile(filepath.Join(dir, "wal/mark"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.write("the last line"); err != nil {
		t.Fatal(err)
	}
	j.close()
	name, to := trim(t, dir)
	for at := from; at < to; at += max(1, (to-from)/10) {
		torn := copied(t, dir)
		damage(t, filepath.Join(torn, name), func(b []byte) []byte { clear(b[at:]); return b })
		damage(t, filepath.Join(torn, "wal/mark"), func([]byte) []byte { return before })
		if got := reopened(t, torn); len(got) != 5 {
			t.Errorf("torn at %d (of %d to %d): the book has %q", at, from, to, got)
		}
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	source := t.TempDir()
	j := start(t, Config{Directory: source}, new(book))
	j.lead()
	if _, err := j.write(strings.Repeat("x", 3*chunkSize)); err != nil {
		t.Fatal(err)
	}
	if err := j.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.close()
	name, _ := filepath.Rel(source, newest(t, source, "snapshots/*"+snapshotSuffix))
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   string
	}{
		{"a later format", func(b []byte) []byte { b[7] = 9; return b }, "format version 9"},
		{"another file", func(b []byte) []byte { b[0] = 'X'; return b }, "does not begin like one"},
		{"a bit in the header", func(b []byte) []byte { b[30] ^= 1; return b }, "the header does not match its checksum"},
		{"a bit in the state", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "a chunk does not match its checksum"},
		{"a bit in the end", func(b []byte) []byte { b[len(b)-9] ^= 1; return b }, "it ends early"},
		{"cut", func(b []byte) []byte { return b[:len(b)/2] }, "it ends early"},
		{"empty", func(b []byte) []byte { return nil }, "no header"},
	} {
		dir := copied(t, source)
		damage(t, filepath.Join(dir, name), c.change)
		if got := refused(t, Config{Directory: dir}); !strings.Contains(got, c.want) || !strings.Contains(got, filepath.Base(name)) {
			t.Errorf("%s: refused with %q, want the file's name and %q", c.name, got, c.want)
		}
	}
	if got := reopened(t, source); len(got) != 1 {
		t.Errorf("undamaged: %d lines, want 1", len(got))
	}
}
