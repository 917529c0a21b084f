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
	running map[string]bool
}

// count is what is known of one package.
type count struct {
	Key     string        `json:"key"` // of the binary that it holds for
	Runs    int           `json:"runs"`
	Longest time.Duration `json:"longest"`
}

// openCounts reads the file, if there is one. What it says of other binaries is left out.
func openCounts(path string, tests []*test) (*counts, error) {
	c := &counts{path: path, tests: tests, of: map[string]count{}, running: map[string]bool{}}
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

// next returns the package to run: the one that has passed least often. nil: all that is not running has passed often
// enough.
func (c *counts) next(runs int) *test {
	c.mu.Lock()
	defer c.mu.Unlock()
	var least *test
	for _, t := range c.tests {
		if n := c.of[t.pkg].Runs; !c.running[t.pkg] && n < runs && (least == nil || n < c.of[least.pkg].Runs) {
			least = t
		}
	}
	if least != nil {
		c.running[least.pkg] = true
	}
	return least
}

// ran counts a run, and writes the file.
func (c *counts) ran(t *test, passed bool, took time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, t.pkg)
	n := c.of[t.pkg]
	n.Longest = max(n.Longest, took)
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
	fmt.Fprintln(table, "package\tpassed\tlongest")
	for _, t := range c.tests {
		fmt.Fprintf(table, "%s\t%d\t%v\n", t.pkg, c.of[t.pkg].Runs, c.of[t.pkg].Longest.Round(time.Millisecond))
	}
	_ = table.Flush() // a failing stdout has no one to tell
}
