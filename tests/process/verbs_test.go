//go:build unix

package process

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"taskgrid/tests/grid"
)

// TestVerbsAgainstARealGrid does with the command line what a person would.
func TestVerbsAgainstARealGrid(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("reverse-1", "reverse")
	worker := g.Worker("wait-1", "wait", "--capacity", "1")
	g.Connected("reverse-1", "wait-1")

	// verb runs a verb, wants the exit code, and returns what it printed on stdout without the last line break.
	verb := func(code int, args ...string) string {
		t.Helper()
		out, errOut, got := g.Verb(args...)
		if got != code {
			t.Fatalf("taskgrid %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errOut)
		}
		return strings.TrimSuffix(out, "\n")
	}
	// want compares what a verb prints.
	want := func(out string, args ...string) {
		t.Helper()
		if got := verb(0, args...); got != out {
			t.Errorf("taskgrid %s: printed %q, want %q", strings.Join(args, " "), got, out)
		}
	}
	// lines counts the lines that a verb prints as jsonl.
	lines := func(n int, args ...string) string {
		t.Helper()
		out := verb(0, append(args, "-o", "jsonl")...)
		if got := countLines(out + "\n"); out == "" && n != 0 || out != "" && got != n {
			t.Errorf("taskgrid %s: %d lines, want %d:\n%s", strings.Join(args, " "), got, n, out)
		}
		return out
	}

	want("olleh", "submit", "reverse", "hello", "--wait", "--label", "who=alice")
	want("2", "submit", "reverse", "abc", "--key", "k1")
	want("2", "submit", "reverse", "abc", "--key", "k1")
	want("cba", "wait", "2")
	lines(1, "list", "--text", "alice")
	if out := lines(2, "list", "--ascending", "--stale"); !strings.HasPrefix(out, `{"id":1,`) {
		t.Errorf("list --ascending begins with %.40s, want task 1", out)
	}
	lines(0, "list", "--older-than", "1h")
	lines(2, "list", "--newer-than", "1h", "--type", "reverse", "--state", "completed")
	lines(1, "list", "--limit", "1")
	lines(5, "events", "--task", "1")
	if out := lines(5, "events", "--type", "reverse", "--task", "2"); !strings.Contains(out, `"to":"COMPLETED"`) {
		t.Errorf("events --task 2: %s", out)
	}

	// One slot: the first task keeps it until it is cancelled; of the others the one with the higher priority goes first.
	first := verb(0, "submit", "wait", "60s")
	low := verb(0, "submit", "wait", "10ms")
	high := verb(0, "submit", "wait", "20ms", "--priority", "9")
	never := verb(0, "submit", "wait", "10ms", "--queue-timeout", "100ms")
	verb(1, "wait", never)
	verb(0, "cancel", first)
	verb(0, "wait", low, high)
	c := g.Client()
	dispatched := map[string]time.Time{}
	for _, id := range []string{low, high} {
		var n uint64
		fmt.Sscan(id, &n)
		task, err := c.Get(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		dispatched[id] = task.DispatchedTime.AsTime()
	}
	if !dispatched[high].Before(dispatched[low]) {
		t.Errorf("--priority 9 was handed over at %v, priority 0 at %v", dispatched[high], dispatched[low])
	}

	long := verb(0, "submit", "wait", "60")
	verb(0, "cancel", long, "--reason", "enough of it")
	if out := verb(0, "get", long, "-o", "json"); !strings.Contains(out, "enough of it") || !strings.Contains(out, `"CANCELLED"`) {
		t.Errorf("get after cancel --reason: %s", out)
	}
	if out := verb(0, "retry", long, "-o", "jsonl"); !strings.Contains(out, `"id":`+long) {
		t.Errorf("retry: %s", out)
	}
	if out := lines(1, "list", "--limit", "1"); !strings.Contains(out, `"retry_of":`+long) {
		t.Errorf("the newest task after a retry: %s", out)
	}
	if out := lines(2, "workers"); !strings.Contains(out, `"wait-1"`) {
		t.Errorf("workers: %s", out)
	}
	verb(0, "drain", "reverse-1")
	verb(0, "drain", "reverse-1", "--undo")
	if out := verb(0, "stats", "-o", "json"); !strings.Contains(out, `"submitted"`) {
		t.Errorf("stats -o json: %s", out)
	}
	worker.Kill()

	if _, errOut, code := g.Run("get", "1", "--nameservice", "127.0.0.1:1", "--timeout", "1s"); code != 3 || !strings.Contains(errOut, "127.0.0.1:1") {
		t.Errorf("get with nobody there: exit code %d, %q, want 3 and what was tried", code, errOut)
	}
	verb(2, "get", "one")
	if out, errOut, code := g.Run("worker", "nonsense", "--log-format", "text"); code != 2 || !strings.Contains(errOut, "nonsense") {
		t.Errorf("worker nonsense: exit code %d, %q %q, want 2 and the type", code, out, errOut)
	}
	if _, errOut, code := g.Run("nameservice", "--log-format", "xml"); code != 2 || !strings.Contains(errOut, "text or json") {
		t.Errorf("--log-format xml: exit code %d, %q, want 2 and the rule", code, errOut)
	}
}
