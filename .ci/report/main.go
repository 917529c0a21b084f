// Command report reads the output of `go test -json`, shows what a person wants to see of it, and counts.
//
//	go test -json ./... | report COUNTS
//
// It prints one line per package, all that a failed test wrote, and what another one logged after "report: ", and appends the counts to the file COUNTS. With -sum
// instead of a run to read, it adds up COUNTS and prints "N passed, N failed, N skipped". It exits with 1 when a test
// or a package failed, and when no test ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// counts are of tests and subtests.
type counts struct{ passed, failed, skipped int }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "-sum":
		return sum(args[1])
	case len(args) == 1:
		return count(os.Stdin, os.Stdout, args[0])
	}
	return fmt.Errorf("usage: report COUNTS | report -sum COUNTS")
}

// count shows and counts one run.
func count(in io.Reader, out io.Writer, path string) error {
	r := reader{out: out, output: map[string][]string{}, failedTest: map[string]bool{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(file, r.passed, r.failed, r.skipped); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	switch {
	case r.failed > 0:
		return fmt.Errorf("%d failed", r.failed)
	case r.passed == 0:
		return fmt.Errorf("no test passed")
	}
	return nil
}

// reader follows the events of one run.
type reader struct {
	counts
	out        io.Writer
	output     map[string][]string // what a test, or a package outside of its tests, wrote; kept until it ended
	failedTest map[string]bool     // by package: a test of it failed
}

func (r *reader) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(r.out, "%s", line) // not from a test: make or go itself
		return
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.output[key] = append(r.output[key], e.Output)
	case "pass", "fail", "skip":
		r.ended(e, key)
		delete(r.output, key)
	}
}

func (r *reader) ended(e event, key string) {
	if e.Test == "" {
		r.packageEnded(e, key)
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
		for _, line := range r.output[key] {
			if _, told, ok := strings.Cut(line, "report: "); ok {
				fmt.Fprintf(r.out, "     %s: %s", e.Test, told)
			}
		}
	case "skip":
		r.skipped++
		fmt.Fprintf(r.out, "skip %s %s: %s\n", e.Package, e.Test, reason(r.output[key]))
	case "fail":
		r.failed++
		r.failedTest[e.Package] = true
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
	}
}

// packageEnded counts a package that failed without a failed test (it did not build, crashed or took too long) as one.
func (r *reader) packageEnded(e event, key string) {
	switch e.Action {
	case "fail":
		fmt.Fprintf(r.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
		if !r.failedTest[e.Package] {
			r.failed++
			fmt.Fprint(r.out, strings.Join(r.output[key], ""))
			for k, output := range r.output { // of the tests that had not ended
				if strings.HasPrefix(k, e.Package+" ") && k != key {
					fmt.Fprint(r.out, strings.Join(output, ""))
				}
			}
		}
	case "pass":
		fmt.Fprintf(r.out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
	}
}

// reason is what a skipped test said.
func reason(output []string) string {
	for _, line := range output {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

// sum adds up the counts and prints them as the last line of a CI run.
func sum(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var all counts
	for {
		var c counts
		if _, err := fmt.Fscanln(file, &c.passed, &c.failed, &c.skipped); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all.passed, all.failed, all.skipped = all.passed+c.passed, all.failed+c.failed, all.skipped+c.skipped
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", all.passed, all.failed, all.skipped)
	return nil
}
