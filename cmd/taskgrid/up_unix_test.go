//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// Ctrl-C goes to every process of the terminal's group: a child in it would not wait for its turn.
func TestCtrlCDoesNotReachTheChildren(t *testing.T) {
	out := newTranscript()
	s := newSupervisor(os.Args[0], []child{helper(t, "worker", "obeys", stageWorkers)}, testGrace, out)
	stop := superviseIn(t, s)
	out.waitFor(t, 1, "started")
	pid := s.pids()["worker"]
	for deadline := time.Now().Add(testGrace); pid == 0 && time.Now().Before(deadline); pid = s.pids()["worker"] {
		time.Sleep(time.Millisecond) // the child may speak before its pid is written down
	}
	group, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	if group != pid {
		t.Errorf("the child (pid %d) is in process group %d, want its own", pid, group)
	}
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}
