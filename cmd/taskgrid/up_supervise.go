package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"taskgrid/internal/settings"
)

// A child that dies is started again after restartFirst, which doubles up to restartLongest while it keeps dying; one
// that lived for restartSteady begins anew. The first pause is short because the usual reason is a person with kill -9.
const (
	restartFirst   = 200 * time.Millisecond
	restartLongest = 5 * time.Second
	restartSteady  = 10 * time.Second

	// restartTries is how many times in a row a child may end by itself before it was steady. Then something is wrong that
	// starting it again does not mend, such as a full disk. A child that is killed does not end by itself.
	restartTries = 5
)

// stage is the order in which children are ended; those of one stage end together.
type stage int

const (
	stageClient      stage = iota // brings no new tasks
	stageWorkers                  // finish what they run, while the dispatcher still records it
	stageDispatcher               // and monitoring
	stageNameservice              // last: the others speak to it while they end
	stages
)

// child is one process that is kept running.
type child struct {
	name  string
	args  []string // of this very program
	stage stage
	// mayFinish: leaving with exit code 0 is its own decision, and it is not started again.
	mayFinish bool
}

// supervisor keeps children running. It asks a child to end by closing the child's standard input (see
// stopWithStdin): this works on every platform, and it happens by itself when the supervisor is killed, so that no
// child outlives it.
type supervisor struct {
	executable string
	children   []child
	grace      time.Duration // how long a child may take to end before it is killed; 0: as long as it likes
	out        *lines

	mu  sync.Mutex
	pid map[string]int // by name; absent while the child does not run
}

func newSupervisor(executable string, children []child, grace time.Duration, out io.Writer) *supervisor {
	return &supervisor{executable: executable, children: children, grace: grace, out: &lines{w: out}, pid: map[string]int{}}
}

// pids returns the process ids of the children that run, by name.
func (s *supervisor) pids() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make(map[string]int, len(s.pid))
	for name, pid := range s.pid {
		pids[name] = pid
	}
	return pids
}

// run keeps all children running until ctx ends or one of them cannot run, then ends them in the order of their stages
// and waits for each. When atOnce ends, it kills those that still run.
func (s *supervisor) run(ctx, atOnce context.Context) error {
	var running [stages]sync.WaitGroup
	var end [stages]context.CancelFunc
	failed := make(chan error, len(s.children))
	for st := range end {
		var staged context.Context
		staged, end[st] = context.WithCancel(context.WithoutCancel(ctx))
		for _, c := range s.children {
			if c.stage == stage(st) {
				running[st].Go(func() {
					if err := s.keep(staged, atOnce, c); err != nil {
						failed <- err
					}
				})
			}
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for st := range end {
		end[st]()
		running[st].Wait()
	}
	return err
}

// keep runs a child again and again until ctx ends. It returns an error when the child was started wrongly, or ends by
// itself whenever it is started: that does not get better by starting it again.
func (s *supervisor) keep(ctx, atOnce context.Context, c child) error {
	pause, tries := restartFirst, 0
	for again := false; ; again = true {
		began := time.Now()
		output := &prefixed{lines: s.out, prefix: c.name}
		pid, err := s.once(ctx, atOnce, c, again, output)
		output.flush()
		if time.Since(began) > restartSteady {
			pause, tries = restartFirst, 0
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			tries++
		}
		switch {
		case atOnce.Err() != nil:
			return nil
		case ctx.Err() != nil:
			if errors.As(err, &exit) && exit.ExitCode() != 0 && exit.ExitCode() != exitUsage { // one that was started wrongly said so
				s.out.say("%s (pid %d) did not end well within %v: %v", c.name, pid, s.grace, err)
			}
			return nil
		case errors.As(err, &exit) && exit.ExitCode() == exitUsage:
			return exitError{exitUsage, fmt.Errorf("%s: %s", c.name, output.last)}
		case err == nil && c.mayFinish:
			s.out.say("%s (pid %d) is done", c.name, pid)
			return nil
		case tries == restartTries:
			return exitError{exitFailed, fmt.Errorf("%s ended %d times, each time within %v of its start (%s): %s", c.name, tries, restartSteady, ending(err), output.last)}
		}
		s.out.say("%s (pid %d) ended: %s; starting it again in %v", c.name, pid, ending(err), pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, restartLongest)
	}
}

// once runs a child to its end, and says its pid if it ran before (again). When ctx ends the child is asked to end, and
// killed after its grace; when atOnce ends it is killed.
func (s *supervisor) once(ctx, atOnce context.Context, c child, again bool, output io.Writer) (pid int, err error) {
	cmd := exec.CommandContext(ctx, s.executable, c.args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = withoutCollisions(os.Environ())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	cmd.Cancel = stdin.Close
	cmd.WaitDelay = s.grace
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	s.setPID(c.name, pid)
	if again {
		s.out.say("%s is back as pid %d", c.name, pid)
	}
	defer s.setPID(c.name, 0)
	defer context.AfterFunc(atOnce, func() { _ = cmd.Process.Kill() })() // it may have ended
	return pid, cmd.Wait()
}

func (s *supervisor) setPID(name string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pid == 0 {
		delete(s.pid, name)
		return
	}
	s.pid[name] = pid
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// collisions are the variables of flags that mean one thing to one process: what listens at an address cannot do so for
// all, and the pace of the test client is not that of monitoring.
var collisions = []string{"metrics-address", "admin-address", "advertise", "timeout", "interval"}

// withoutCollisions returns the environment for the children: all but the variables that only one of them could follow.
func withoutCollisions(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.ContainsFunc(collisions, func(flag string) bool { return settings.Variable(flag) == name })
	})
}
