package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// patience bounds one run of go test. A mutant that makes a test hang is killed by it.
const patience = 2 * time.Minute

// verdict says what became of a mutant.
type verdict struct {
	killer string // the test that failed
	err    error  // why there is none
	took   time.Duration
}

// try lays a mutant over the code and runs its tests.
func try(ctx context.Context, m mutant) (v verdict) {
	began := time.Now()
	defer func() { v.took = time.Since(began) }()
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return verdict{err: err}
	}
	defer os.RemoveAll(dir)
	overlay, err := m.write(dir)
	if err != nil {
		return verdict{err: err}
	}
	result, err := goTest(ctx, m.in, m.tests, "-overlay", overlay, "-failfast")
	switch {
	case err != nil:
		return verdict{err: err}
	case len(result.failed) == 0:
		return verdict{err: fmt.Errorf("%s passed", strings.Join(m.tests, ", "))}
	}
	return verdict{killer: strings.Join(result.failed, ", ")}
}

// write makes the changed files in dir, and returns the path of the overlay that puts them in the place of ours.
func (m mutant) write(dir string) (overlay string, err error) {
	changed := map[string]string{} // content by path
	for _, e := range m.edits {
		content, ok := changed[e.file]
		if !ok {
			data, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			content = string(data)
		}
		if n := strings.Count(content, e.old); n != 1 {
			return "", fmt.Errorf("%s: the code to be changed is there %d times, not once: %q", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(content, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for i, file := range slices.Sorted(maps.Keys(changed)) {
		path := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(path, []byte(changed[file]), 0o600); err != nil {
			return "", err
		}
		absolute, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[absolute] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}

// checkUnchanged runs, on the code as it is, all tests that the mutants name: each must be there and pass.
func checkUnchanged(ctx context.Context, mutants []mutant, parallel int) error {
	tests := map[string][]string{} // by package
	for _, m := range mutants {
		tests[m.in] = append(tests[m.in], m.tests...)
	}
	packages := slices.Sorted(maps.Keys(tests))
	faults := make([]error, len(packages))
	each(len(packages), parallel, func(i int) {
		wanted := slices.Compact(slices.Sorted(slices.Values(tests[packages[i]])))
		result, err := goTest(ctx, packages[i], wanted)
		if err == nil && len(result.failed) > 0 {
			err = fmt.Errorf("the unchanged code fails %s", strings.Join(result.failed, ", "))
		}
		for _, name := range wanted {
			if err == nil && !slices.Contains(result.passed, name) {
				err = fmt.Errorf("%s: there is no test %s", packages[i], name)
			}
		}
		faults[i] = err
	})
	return errors.Join(faults...)
}

// usesRapid tells whether tests of a package are property tests: only then go test knows the flags of rapid.
func usesRapid(in string) bool {
	files, _ := filepath.Glob(filepath.Join(in, "*_test.go")) // the pattern is good
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		return err == nil && bytes.Contains(content, []byte(`"pgregory.net/rapid"`))
	})
}

// result names the tests that failed and those that passed, without subtests.
type result struct{ failed, passed []string }

// event is one line of `go test -json`.
type event struct{ Action, Test, Output string }

// goTest runs tests of a package. The error says that they could not be run.
func goTest(ctx context.Context, in string, tests []string, flags ...string) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience+5*time.Minute) // the build is not the mutant's fault
	defer cancel()
	args := append([]string{"test", "-json", "-count=1", "-vet=off", "-timeout", patience.String()}, flags...)
	args = append(args, "-run", "^("+strings.Join(tests, "|")+")$", in)
	if usesRapid(in) {
		args = append(args, "-rapid.nofailfile") // what fails on a mutant is of no use to anybody
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	runErr := cmd.Run()
	var running []string // begun and not ended: a panic or the timeout ended them
	var said strings.Builder
	for line := range bytes.Lines(out.Bytes()) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		said.WriteString(e.Output)
		if e.Test == "" || strings.Contains(e.Test, "/") {
			continue
		}
		switch e.Action {
		case "run":
			running = append(running, e.Test)
			continue
		case "fail":
			r.failed = append(r.failed, e.Test)
		case "pass":
			r.passed = append(r.passed, e.Test)
		case "skip":
		default:
			continue
		}
		running = slices.DeleteFunc(running, func(name string) bool { return name == e.Test })
	}
	if runErr != nil && len(r.failed) == 0 {
		if len(running) == 0 { // it was not built
			return r, fmt.Errorf("go test %s: %w\n%s%s", in, runErr, said.String(), errOut.String())
		}
		r.failed = running
	}
	return r, ctx.Err()
}
