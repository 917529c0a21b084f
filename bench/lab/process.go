package lab

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
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
