//go:build unix

package process

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// TestThreeDispatchersGoOnWhenTheLeaderIsKilled kills the leader with tasks queued and one running. The client and the
// command line see a pause and nothing else.
func TestThreeDispatchersGoOnWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	leader := cluster.Leader()
	g.Worker("wait-1", "wait", "--capacity", "2")
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "wait", "0")
	submitEventually(g, c, "hash", "x")
	long := submit(t, c, 1, "wait", always("8"))[0]
	inState(g, c, long, pb.TaskState_TASK_STATE_PROCESSING)
	ids := submit(t, c, 100, "hash", numbered)
	leader.Kill()
	killed := time.Now()
	ids = append(ids, submit(t, c, 100, "hash", numbered)...)
	t.Logf("acknowledged again %v after the kill", time.Since(killed).Round(time.Millisecond))
	if out, stderr, code := g.Verb("submit", "hash", "y", "--wait"); code != 0 {
		t.Errorf("the command line after the kill: exit %d, %s%s", code, out, stderr)
	}
	for id, task := range waitAll(g.Context(), t, c, append(ids, long)) {
		if task.State != pb.TaskState_TASK_STATE_COMPLETED || task.Attempts != 1 {
			t.Errorf("task %d is %v after %d attempts, want COMPLETED after 1", id, task.State, task.Attempts)
		}
		if id == long && task.Redeliveries != 0 {
			t.Errorf("the task that ran meanwhile was run %d times more", task.Redeliveries)
		}
	}
	if next := cluster.Leader(); next == leader {
		t.Errorf("%s leads and is dead", next.ID)
	}
	leader.Start()
	cluster.Leader()
}

func TestAWrongConfigurationOfAReplicaIsRefusedInWords(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	data := filepath.Join(t.TempDir(), "data")
	for _, test := range []struct {
		flags, want string
	}{
		{"--peers d1=127.0.0.1:1,d2", `peers: "d2": must be id=host:port`},
		{"--peers d2=127.0.0.1:1", "peers: d2=127.0.0.1:1: does not include this node, --id d1"},
		{"--peers d1=127.0.0.1:1,d1=127.0.0.1:2", `id "d1" is named twice`},
		{"--peers d1=127.0.0.1:1,d2=127.0.0.1:1", "address 127.0.0.1:1 is named twice"},
		{"--peers d1=127.0.0.1:1,d2=127.0.0.1:2 --raft-address 127.0.0.1:3", `says that this node, "d1", is at 127.0.0.1:1`},
		{"--raft-address 0.0.0.0:50062", `raft-address: "0.0.0.0:50062": must name a host`},
		{"--raft-listen 127.0.0.1:50062", `raft-address: "": is required with --raft-listen`},
		{"--join", `raft-address: "": is required with --join`},
		{"--join 127.0.0.1:50052 --raft-address 127.0.0.1:3", "said with an equals sign: --join=127.0.0.1:50052"},
		{"--join=nowhere --raft-address 127.0.0.1:3", `join: "nowhere": must be host:port`},
		{"--join --raft-address 127.0.0.1:3 --peers d1=127.0.0.1:3", "join: cannot be together with --peers"},
		{"--id d/1", `id: "d/1": must be`},
	} {
		_, stderr, code := g.Run(append([]string{"dispatcher", "--data", data, "--listen", "127.0.0.1:0"}, strings.Fields(test.flags)...)...)
		if code != 2 || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", test.flags, code, stderr, test.want)
		}
	}
}
