package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long a process may take to end before it is killed.
const grace = 20 * time.Second

// errEnded is why a run ends when one of its processes has, however well.
var errEnded = errors.New("nobody had asked it to")

// process is a process that the lab has started. One that dies by itself is not started again: then the figures are
// worth nothing, and the run ends.
type process struct {
	cmd      *exec.Cmd
	stdin    io.Closer
	expected atomic.Bool   // we end it
	ended    chan struct{} // closed when it is gone
}

// start starts a process of the program.
func (l *Lab) start(name string, args ...string) (*process, error) {
	p := &process{cmd: l.cfg.Command(name, args...), ended: make(chan struct{})}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	l.running.Go(func() {
		defer close(p.ended)
		if err := p.cmd.Wait(); !p.expected.Load() {
			l.fail(fmt.Errorf("%s (pid %d) ended while it was measured: %w", name, p.pid(), errors.Join(errEnded, err)))
		}
	})
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process as SIGTERM does, and waits for it.
func (p *process) stop() {
	p.expected.Store(true)
	p.stdin.Close()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.kill()
	}
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() {
	p.expected.Store(true)
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// Ports lie below those that systems give to outgoing connections (from 32768 on Linux, 49152 elsewhere): one of the many
// connections of a benchmark could take a port before the process listens there. Those of tests lie below these.
const (
	firstPort = 30_000
	portRange = 2_700
)

// triedPort counts the ports that were tried. Each process begins elsewhere, and comes back to a port late.
var triedPort = sync.OnceValue(func() *atomic.Int64 {
	tried := new(atomic.Int64)
	tried.Store(int64(os.Getpid()) * 101)
	return tried
})

// freeAddresses returns n addresses of the loopback interface at which nothing listens.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for tries := 0; len(addresses) < n; tries++ {
		port := firstPort + triedPort().Add(1)%portRange
		lis, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		switch {
		case err == nil:
			defer lis.Close() // when all are found, so that none is found twice
			addresses = append(addresses, lis.Addr().String())
		case tries == portRange:
			return nil, fmt.Errorf("no free port: %w", err)
		}
	}
	return addresses, nil
}
