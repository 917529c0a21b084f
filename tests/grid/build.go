//go:build unix

package grid

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Builds is the variable that names a folder in which test binaries find programs that others of them have built: to link
// one takes seconds. Whoever sets it empties the folder when the sources change.
const Builds = "TEST_BUILDS"

// binary is the built taskgrid, once for all tests of a run.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "taskgrid-test-")
	if err != nil {
		return "", err
	}
	path, err := build(dir, "taskgrid/cmd/taskgrid")
	if err != nil || filepath.Dir(path) != dir {
		os.RemoveAll(dir)
	}
	return path, err
})

// build builds a program in the folder, unless the one that Builds names has it, and returns its path.
func build(dir, pkg string, flags ...string) (string, error) {
	shared := os.Getenv(Builds)
	path := filepath.Join(dir, filepath.Base(pkg))
	if shared != "" {
		path = filepath.Join(shared, filepath.Base(pkg))
		if len(flags) > 0 {
			h := fnv.New64a()
			fmt.Fprintf(h, "%q", flags)
			path += fmt.Sprintf("-%x", h.Sum64())
		}
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	fresh := fmt.Sprint(path, "-", os.Getpid()) // others may be building it too
	args := append([]string{"build", "-o", fresh}, flags...)
	if out, err := exec.Command("go", append(args, pkg)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s %s: %w\n%s", strings.Join(args, " "), pkg, err, out)
	}
	return path, os.Rename(fresh, path)
}

// Build builds a program, with flags of go build, and returns its path.
func Build(t testing.TB, pkg string, flags ...string) string {
	t.Helper()
	path, err := build(t.TempDir(), pkg, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Main runs the tests of a package and removes the binary that they built.
func Main(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil && os.Getenv(Builds) == "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// Binary returns the path of the built taskgrid.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
