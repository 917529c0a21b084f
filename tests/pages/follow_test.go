//go:build unix

package pages

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"taskgrid/internal/discovery"
	"taskgrid/tests/grid"
)

const (
	// patience is how long a command of a page may take on a busy machine that has built nothing yet.
	patience = 4 * time.Minute

	// program is how the pages call the program. To build it once is enough, so the reader runs what was built.
	program = "go run ./cmd/taskgrid"

	// build puts the program into the copy as "built". Unlike go build, go run has it from its cache if anybody has linked
	// the same one before: to link it costs more than all that the pages do with it.
	build = "go run -exec cp ./cmd/taskgrid built"
)

// reader is a person who follows a page in a copy of the repository of their own.
type reader struct {
	t      *testing.T
	folder string   // the copy
	env    []string // for all commands
	built  string   // the program, "" before it is built
	last   string   // what the last command printed
	names  string   // where the name service of the grid listens that a command has started
}

// newReader copies the repository, or only the folders of it that are named. Its commands find the tools of the system
// before any others.
func newReader(t *testing.T, folders ...string) *reader {
	if testing.Short() {
		t.Skip("builds the program and starts processes")
	}
	r := &reader{t: t, folder: filepath.Join(t.TempDir(), "taskgrid")}
	args := append([]string{"-C", "../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, folders...)
	list, err := exec.Command("git", args...).Output()
	if err != nil {
		t.Fatalf("list the files of the repository: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // deleted but not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		r.write(name, string(content))
	}
	// Without paths in what is compiled, the packages that the page does not change are compiled already.
	r.env = append(os.Environ(), "PATH=/usr/bin:/bin:"+os.Getenv("PATH"), "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath -buildvcs=false -ldflags=-w")
	return r
}

func (r *reader) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// page returns the blocks of a page of the copy.
func (r *reader) page(name string) []block {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.folder, name))
	if err != nil {
		r.t.Fatal(err)
	}
	blocks, err := blocksOf(string(content))
	if err != nil || len(blocks) == 0 {
		r.t.Fatalf("%s: %d blocks, %v", name, len(blocks), err)
	}
	return blocks
}

// follow does what each block says.
func (r *reader) follow(blocks []block) {
	r.t.Helper()
	for _, b := range blocks {
		switch {
		case b.language == "diff":
			r.patch(b.text)
		case b.file != "":
			r.write(b.file, b.text)
		case b.language == "sh":
			for _, command := range b.commands() {
				r.run(command)
			}
		case b.language == "text":
			if r.last != b.text {
				r.t.Errorf("the page promises %q, the command printed %q", b.text, r.last)
			}
		}
	}
}

// patch applies a diff; git apply finds the place when only the line numbers have changed.
func (r *reader) patch(diff string) {
	r.t.Helper()
	cmd := exec.Command("git", "apply", "-")
	cmd.Dir, cmd.Stdin = r.folder, strings.NewReader(diff)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git apply: %v\n%s\n%s", err, out, diff)
	}
}

// run runs one command. One that does not end, because it serves, goes on beside the others until the test is over.
func (r *reader) run(command string) {
	r.t.Helper()
	if strings.HasPrefix(command, program) && r.built == "" {
		r.run(build)
		r.built = "./built"
	}
	if serves(command) {
		if r.names != "" { // the pages name the port that it has unless somebody wants another
			command = strings.ReplaceAll(command, discovery.DefaultNameServices, r.names)
		}
		r.serve(command)
		return
	}
	if err := r.try(command); err != nil {
		r.t.Fatal(err)
	}
}

// try runs one command that ends, and keeps what it prints. The error says what it printed if it fails.
func (r *reader) try(command string) error {
	command = strings.Replace(command, program, r.built, 1)
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.folder, r.env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", command, err, &stdout, &stderr)
	}
	r.last = stdout.String()
	return nil
}

// serves says whether a command of a page goes on until somebody stops it.
func serves(command string) bool {
	for _, begin := range []string{program + " up", program + " worker", "python3 worker.py"} {
		if strings.HasPrefix(command, begin) {
			return true
		}
	}
	return false
}

// serve starts a command that goes on. Of `up` it waits until the grid is ready.
func (r *reader) serve(command string) {
	r.t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+strings.Replace(command, program, r.built, 1))
	cmd.Dir, cmd.Env = r.folder, r.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, printed := io.Pipe()
	cmd.Stdout = printed
	address := make(chan string, 1) // of the name service, when the grid is ready
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "name service "); ok {
				address <- strings.TrimSpace(rest)
			}
		}
		close(address)
	})
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		cmd.Wait()
		printed.Close()
	})
	r.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		waiting.Wait()
		reading.Wait()
		if r.t.Failed() {
			r.t.Logf("%s said:\n%s", command, &stderr)
		}
	})
	if strings.HasPrefix(command, program+" up") {
		var ready bool
		if r.names, ready = <-address; !ready {
			r.t.Fatalf("%s ended before the grid was ready", command)
		}
		r.env = append(r.env, "TASKGRID_NAMESERVICE="+r.names)
	}
}

// useFreePorts lets the grids of several tests run side by side, at ports that the system gives to nobody's connections
// between their choice and their use.
func (r *reader) useFreePorts() {
	r.env = append(r.env, "TASKGRID_EPHEMERAL=true")
	free := grid.FreePorts(r.t, 4)
	for i, name := range []string{"HTTP", "NAMESERVICE", "DISPATCHER", "MONITORING"} {
		_, port, _ := net.SplitHostPort(free[i])
		r.env = append(r.env, "TASKGRID_"+name+"_PORT="+port)
	}
}
