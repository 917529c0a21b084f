//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"text/tabwriter"
	"time"
)

// counts says how often each package has passed in a row. It is kept in a file, which is replaced after each run.
type counts struct {
	path  string
	tests []*test

	mu      sync.Mutex
	of      map[string]count // by package
	running map[string]int   // how many runs of it go on
}

// count is what is known of one package.
type count struct {
	Key       string        `json:"key"` // of the binary that it holds for
	Runs      int           `json:"runs"`
	Longest   time.Duration `json:"longest"`
	Processor time.Duration `json:"processor"` // of the last run
}

// openCounts reads the file, if there is one. What it says of other binaries is left out.
func openCounts(path string, tests []*test) (*counts, error) {
	c := &counts{path: path, tests: tests, of: map[string]count{}, running: map[string]int{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = []byte("{}"), nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c.of); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range tests {
		if c.of[t.pkg].Key != t.key {
			c.of[t.pkg] = count{Key: t.key}
		}
	}
	return c, nil
}

// next returns the package to run: the one that has passed least often, if those of its runs that go on pass. nil: all have
// passed often enough then.
func (c *counts) next(runs int) *test {
	c.mu.Lock()
	defer c.mu.Unlock()
	var least *test
	for _, t := range c.tests {
		if n := c.expected(t); n < runs && (least == nil || n < c.expected(least)) {
			least = t
		}
	}
	if least != nil {
		c.running[least.pkg]++
	}
	return least
}

// expected is how often a package will have passed. The lock is held.
func (c *counts) expected(t *test) int { return c.of[t.pkg].Runs + c.running[t.pkg] }

// ran counts a run, and writes the file.
func (c *counts) ran(t *test, passed bool, of cost) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[t.pkg]--
	n := c.of[t.pkg]
	n.Longest = max(n.Longest, of.took)
	n.Processor = of.processor
	if n.Runs++; !passed {
		n.Runs = 0
	}
	c.of[t.pkg] = n
	data, err := json.MarshalIndent(c.of, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(c.path+".new", c.path)
}

// least returns how often every package has passed.
func (c *counts) least() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	least := -1
	for _, t := range c.tests {
		if n := c.of[t.pkg].Runs; least < 0 || n < least {
			least = n
		}
	}
	return max(0, least)
}

func (c *counts) print(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "package\tpassed\tlongest\tprocessor time")
	var all time.Duration
	for _, t := range c.tests {
		n := c.of[t.pkg]
		all += n.Processor
		fmt.Fprintf(table, "%s\t%d\t%v\t%v\n", t.pkg, n.Runs, n.Longest.Round(time.Millisecond), n.Processor.Round(time.Millisecond))
	}
	fmt.Fprintf(table, "all\t\t\t%v\n", all.Round(time.Millisecond))
	_ = table.Flush() // a failing stdout has no one to tell
}
