//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build builds taskgrid, in the folder where the tests look for it, and the test binaries of the packages that have tests.
func build(ctx context.Context, dir, builds string, race bool, patterns []string) (tests []*test, err error) {
	program := filepath.Join(builds, "taskgrid")
	if _, err := goTool(ctx, "build", "-trimpath", "-buildvcs=false", "-o", program, "./cmd/taskgrid"); err != nil {
		return nil, err
	}
	programKey, err := hash(program)
	if err != nil {
		return nil, err
	}
	list, err := goTool(ctx, append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(list) {
		pkg, source, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		t := &test{pkg: pkg, dir: source, binary: filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_")+".test")}
		if _, err := goTool(ctx, "test", fmt.Sprint("-race=", race), "-trimpath", "-c", "-o", t.binary, pkg); err != nil {
			return nil, err
		}
		if t.key, err = hash(t.binary); err != nil {
			return nil, err
		}
		deps, err := goTool(ctx, "list", "-deps", "-test", pkg)
		if err != nil {
			return nil, err
		}
		if strings.Contains(deps, "taskgrid/tests/grid") { // it starts what it builds
			t.key += programKey
		}
		tests = append(tests, t)
	}
	return tests, nil
}

func goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// hash returns the first digits of the SHA-256 of a file.
func hash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
