package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// benchGrace is how long a process may take to end before it is killed.
const benchGrace = 15 * time.Second

// benchProcess is a process that `bench` has started. One that dies is not started again: then the figures are worth
// nothing.
type benchProcess struct {
	name   string
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	output *prefixed
	ended  chan struct{} // closed when it is gone; then err says how
	err    error
}

// startProcess starts this program with other arguments. Its log goes to out.
func startProcess(out *lines, name string, args ...string) (*benchProcess, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	p := &benchProcess{name: name, output: &prefixed{lines: out, prefix: name}, ended: make(chan struct{})}
	p.cmd = exec.Command(executable, append(args, "--"+untilStdinFlag, "--log-level", "warn")...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.Env = withoutCollisions(os.Environ())
	detach(p.cmd)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.output.flush()
		close(p.ended)
	}()
	return p, nil
}

func (p *benchProcess) pid() int { return p.cmd.Process.Pid }

// stop ends the process as SIGTERM does, and waits for it.
func (p *benchProcess) stop() {
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(benchGrace):
		p.kill()
	}
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *benchProcess) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// watch calls fail if the process ends before ctx does.
func (p *benchProcess) watch(ctx context.Context, fail func(error)) {
	go func() {
		select {
		case <-ctx.Done():
		case <-p.ended:
			fail(fmt.Errorf("%s ended: %s: %s", p.name, ending(p.err), p.output.last))
		}
	}()
}

// freeAddresses returns n addresses of the loopback interface at which nothing listens.
func freeAddresses(n int) ([]string, error) {
	chosen := map[int]bool{}
	var addresses []string
	for range n {
		port, err := freePort("127.0.0.1", 0, chosen)
		if err != nil {
			return nil, errors.Join(errors.New("no free port"), err)
		}
		chosen[port] = true
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return addresses, nil
}
