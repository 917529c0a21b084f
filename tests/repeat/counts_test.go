//go:build unix

package main

import (
	"path/filepath"
	"testing"
	"time"
)

func TestCountsGrowOverSessionsForTheSameBinaryOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts.json")
	session := func(keyOfB string) (*counts, map[string]*test) {
		t.Helper()
		a, b := &test{pkg: "a", key: "1"}, &test{pkg: "b", key: keyOfB}
		c, err := openCounts(path, []*test{a, b})
		if err != nil {
			t.Fatal(err)
		}
		return c, map[string]*test{"a": a, "b": b}
	}
	ran := func(c *counts, test *test, passed bool) {
		t.Helper()
		c.running[test.pkg]++
		if err := c.ran(test, passed, cost{took: time.Second, processor: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	c, tests := session("1")
	for range 3 {
		ran(c, tests["a"], true)
	}
	ran(c, tests["b"], true)
	for range 2 { // of which the first goes on when the second begins
		if next := c.next(200); next != tests["b"] {
			t.Errorf("next is %v, want b, which has passed least often", next)
		}
	}
	if next := c.next(3); next != nil {
		t.Errorf("when what goes on is enough, next is %v", next)
	}
	c, tests = session("1") // b was not run to its end
	if of := c.of["a"]; of.Longest != time.Second || of.Processor != time.Minute {
		t.Errorf("a took %v and %v of a processor, want %v and %v", of.Longest, of.Processor, time.Second, time.Minute)
	}
	if c.of["a"].Runs != 3 || c.of["b"].Runs != 1 || c.least() != 1 {
		t.Errorf("after a break: %v, want 3 and 1", c.of)
	}
	if next := c.next(1); next != nil {
		t.Errorf("when all have passed often enough, next is %v", next)
	}
	ran(c, tests["a"], false)
	if c, _ = session("2"); c.of["a"].Runs != 0 || c.of["b"].Runs != 0 {
		t.Errorf("a failed and b is another binary: %v, want 0 and 0", c.of)
	}
}
