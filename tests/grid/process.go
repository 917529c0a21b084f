//go:build unix

package grid

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Process is a process of the grid.
type Process struct {
	g      *Grid
	name   string
	bin    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a process of the binary. Its log is shown if the test fails.
func (g *Grid) Start(name string, args ...string) *Process {
	g.t.Helper()
	return g.StartProgram(name, g.bin, append(args, "--log-level", g.LogLevel)...)
}

// StartProgram is Start for another program.
func (g *Grid) StartProgram(name, path string, args ...string) *Process {
	g.t.Helper()
	p := &Process{g: g, name: name, bin: path, args: args}
	p.start()
	g.t.Cleanup(p.end)
	return p
}

// StartAs starts the process again as another program, after it has ended.
func (p *Process) StartAs(path string) {
	p.g.t.Helper()
	p.bin = path
	p.Start()
}

// Args returns the arguments that it was started with.
func (p *Process) Args() []string { return slices.Clone(p.args) }

// LogFile returns where the process logs.
func (p *Process) LogFile() string { return filepath.Join(p.g.dir, p.name+".log") }

// Log returns what the process has logged.
func (p *Process) Log() string {
	p.g.t.Helper()
	data, err := os.ReadFile(p.LogFile())
	if err != nil {
		p.g.t.Fatal(err)
	}
	return string(data)
}

func (p *Process) start() {
	p.g.t.Helper()
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		p.g.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.bin, p.args...)
	p.cmd.Dir = p.g.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.g.t.Fatalf("start %s: %v", p.name, err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(p.cmd, p.exited)
}

// end kills the process at the end of the test, and shows its log if the test failed.
func (p *Process) end() {
	p.cmd.Process.Kill()
	<-p.exited
	if !p.g.t.Failed() {
		return
	}
	const most = 60
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("... %d lines ...", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	p.g.t.Logf("log of %s:\n%s", p.name, strings.Join(lines, "\n"))
}

// Name returns the name that the process was started under.
func (p *Process) Name() string { return p.name }

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL, as a crash does, and waits until it is gone.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// Pause stops the process with SIGSTOP: it lives, and does nothing.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Terminate sends SIGTERM and does not wait.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// Exited waits until the process is gone and returns its exit code.
func (p *Process) Exited() int {
	p.g.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		p.g.t.Fatalf("%s did not end within %v", p.name, Patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Gone tells whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Start starts the process again with the same arguments, after it has ended.
func (p *Process) Start() {
	p.g.t.Helper()
	<-p.exited
	p.start()
}

func (p *Process) signal(s syscall.Signal) {
	p.g.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.g.t.Fatalf("%v to %s: %v", s, p.name, err)
	}
}
