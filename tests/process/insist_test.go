//go:build unix

package process

import (
	"strings"
	"testing"

	"taskgrid/tests/grid"
)

// verb runs a verb that has to succeed and returns what it printed.
func verb(t *testing.T, g *grid.Grid, args ...string) string {
	t.Helper()
	out, stderr, code := g.Verb(args...)
	if code != 0 {
		t.Fatalf("taskgrid %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return out
}

// restore restores a backup as an operator does: where it is not known whether that was done, because the leader changed
// meanwhile, it is done again.
func restore(t *testing.T, g *grid.Grid, file string, flags ...string) string {
	t.Helper()
	ctx := g.Context()
	for ctx.Err() == nil {
		out, stderr, code := g.Verb(append([]string{"raft", "restore", file}, flags...)...)
		if code == 0 {
			return out
		}
		if !strings.Contains(stderr, "it is not known whether this was done") {
			t.Fatalf("taskgrid raft restore %v: exit %d: %s", flags, code, stderr)
		}
		flags = []string{"--force"} // the cluster may not be empty any more
	}
	t.Fatalf("taskgrid raft restore: in doubt again and again: %v", ctx.Err())
	return ""
}

// removeMember removes a member, again where it is not known whether that was done.
func removeMember(t *testing.T, g *grid.Grid, id string) {
	t.Helper()
	ctx := g.Context()
	for doubt := false; ctx.Err() == nil; doubt = true {
		_, stderr, code := g.Verb("raft", "remove", id)
		if code == 0 || doubt && strings.Contains(stderr, "is no member") {
			return
		}
		if !strings.Contains(stderr, "it is not known whether this was done") {
			t.Fatalf("taskgrid raft remove %s: exit %d: %s", id, code, stderr)
		}
	}
	t.Fatalf("taskgrid raft remove %s: in doubt again and again: %v", id, ctx.Err())
}

// wantVerb runs a verb that has to fail with a code and words.
func wantVerb(t *testing.T, g *grid.Grid, code int, words string, args ...string) {
	t.Helper()
	if out, stderr, got := g.Verb(args...); got != code || !strings.Contains(stderr, words) {
		t.Errorf("taskgrid %s: exit %d, %s%s; want %d and %q", strings.Join(args, " "), got, out, stderr, code, words)
	}
}

// transfer runs `raft transfer` until the follower takes over, or leads already.
func transfer(t *testing.T, g *grid.Grid, to ...string) string {
	t.Helper()
	args := append([]string{"raft", "transfer"}, to...)
	ctx := g.Context()
	for ctx.Err() == nil {
		out, stderr, code := g.Verb(args...)
		switch {
		case code == 0:
			return out
		case strings.Contains(stderr, "leads already"):
			return stderr
		case !strings.Contains(stderr, "did not take over in time"):
			t.Fatalf("taskgrid %s: exit %d: %s", strings.Join(args, " "), code, stderr)
		}
	}
	t.Fatalf("taskgrid %s: nobody takes over: %v", strings.Join(args, " "), ctx.Err())
	return ""
}
