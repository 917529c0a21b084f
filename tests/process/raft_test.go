//go:build unix

package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// member is a line of taskgrid raft list -o jsonl.
type member struct {
	ID, State, Cluster, Version string
	Voter                       bool
	AppliedIndex                uint64 `json:"applied_index"`
}

// members runs taskgrid raft list.
func members(g *grid.Grid) (map[string]member, error) {
	out, stderr, code := g.Verb("raft", "list", "-o", "jsonl")
	if code != 0 {
		return nil, fmt.Errorf("raft list: exit %d: %s", code, stderr)
	}
	all := map[string]member{}
	for line := range strings.Lines(out) {
		var m member
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, err
		}
		all[m.ID] = m
	}
	return all, nil
}

// awaitMembers waits until taskgrid raft list shows exactly these members, each as state says: "leader", "follower",
// "unreachable"; "up" stands for the first two. Those that are up have to vote.
func awaitMembers(g *grid.Grid, want map[string]string) map[string]member {
	var all map[string]member
	g.Eventually(fmt.Sprintf("the members are %v", want), func(context.Context) error {
		var err error
		if all, err = members(g); err != nil {
			return err
		}
		for id, state := range want {
			up := all[id].Voter && (all[id].State == "leader" || all[id].State == "follower")
			if all[id].State != state && (state != "up" || !up) {
				return fmt.Errorf("%s is %+v", id, all[id])
			}
		}
		if len(all) != len(want) {
			return fmt.Errorf("they are %v", all)
		}
		return nil
	})
	return all
}

// TestAMemberIsAddedAndReplaced: a fourth dispatcher enters; a lost one is removed and its id comes back on an empty disk;
// the leader is removed while it leads.
func TestAMemberIsAddedAndReplaced(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	cluster.Leader()
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	ids := submit(t, c, 100, "hash", numbered)

	cluster.Join("d4")
	all := awaitMembers(g, map[string]string{"d1": "up", "d2": "up", "d3": "up", "d4": "up"})
	if all["d1"].Cluster == "" || all["d1"].Version == "" {
		t.Errorf("the cluster of d1 is %q and its version %q, want both", all["d1"].Cluster, all["d1"].Version)
	}

	lost := cluster.Followers()[0]
	lost.Kill()
	if err := os.RemoveAll(lost.Data); err != nil {
		t.Fatal(err)
	}
	lost.Start() // as an orchestrator does, with the same flags
	awaitMembers(g, map[string]string{"d1": "up", "d2": "up", "d3": "up", "d4": "up", lost.ID: "alone"})
	g.Eventually("the one that lost its disk is refused", func(context.Context) error {
		if !strings.Contains(lost.Log(), "taskgrid raft remove "+lost.ID) {
			return fmt.Errorf("its log does not say what to do")
		}
		return nil
	})
	removeMember(t, g, lost.ID)
	awaitMembers(g, map[string]string{"d1": "up", "d2": "up", "d3": "up", "d4": "up"})

	leader := cluster.Leader()
	removeMember(t, g, leader.ID)
	want := map[string]string{"d1": "up", "d2": "up", "d3": "up", "d4": "up"}
	delete(want, leader.ID)
	awaitMembers(g, want)
	g.Eventually("the one that was removed says so", func(context.Context) error {
		if !strings.Contains(leader.Log(), "this dispatcher was removed from the cluster") {
			return fmt.Errorf("its log does not")
		}
		return nil
	})
	leader.Terminate()
	leader.Exited()
	ids = append(ids, submit(t, c, 100, "hash", numbered)...)
	for id, task := range waitAll(g.Context(), t, c, ids) {
		if task.State != pb.TaskState_TASK_STATE_COMPLETED {
			t.Errorf("task %d is %v, want COMPLETED", id, task.State)
		}
	}
	wantVerb(t, g, 1, `id: "d9": is no member`, "raft", "remove", "d9")
	now := cluster.Leader()
	if out := verb(t, g, "raft", "add", now.ID, now.Raft); !strings.Contains(out, "is a member already") {
		t.Errorf("raft add of a member printed %q", out)
	}
	transfer(t, g, now.ID) // in case that another leads by now
	wantVerb(t, g, 1, "leads already", "raft", "transfer", now.ID)
	wantVerb(t, g, 1, "is that of", "raft", "add", "d9", cluster.Leader().Raft)
	wantVerb(t, g, 1, "connection refused", "raft", "add", "d9", grid.FreePorts(t, 1)[0])
	wantVerb(t, g, 2, `raft-address: "nowhere": must be host:port`, "raft", "add", "d9", "nowhere")
}

// TestADispatcherThatWasAloneGetsCompany: one without raft port is started again with one, and two others join.
func TestADispatcherThatWasAloneGetsCompany(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	alone := g.Dispatcher()
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	wantVerb(t, g, 1, "has no raft port: start it with --raft-address", "raft", "add", "d2", grid.FreePorts(t, 1)[0])
	alone.Terminate()
	alone.Exited()
	ports := grid.FreePorts(t, 1)
	first := g.Start("d1", append(alone.Args(), "--raft-address", ports[0])...)
	cluster := grid.NewCluster(g)
	cluster.Join("d2", "--join="+g.Disp)
	cluster.Join("d3")
	awaitMembers(g, map[string]string{"d1": "up", "d2": "up", "d3": "up"})
	first.Kill()
	if _, err := c.Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "y"}); err != nil {
		t.Errorf("without the first one: %v", err)
	}
}

// TestABackupRestoresIntoAFreshCluster takes a backup online and restores it into three new dispatchers.
func TestABackupRestoresIntoAFreshCluster(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	done := submit(t, c, 50, "hash", numbered)
	results := waitAll(g.Context(), t, c, done)
	file := filepath.Join(t.TempDir(), "backup")
	verb(t, g, "raft", "snapshot", file)
	wantVerb(t, g, 2, "is there already", "raft", "snapshot", file)
	submit(t, c, 1, "hash", always("after the backup"))

	fresh := grid.New(t)
	fresh.Nameservice()
	cluster := fresh.Dispatchers(3)
	cluster.Leader()
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := fresh.Verb("raft", "restore", none)
	if code != 1 || !strings.Contains(stderr, "backup: the file is no backup, or not as it was written") {
		t.Errorf("restore of what is no backup: exit %d, %q; want 1 and what is wrong", code, stderr)
	}
	if strings.Contains(stderr, "restore-") {
		t.Errorf("what is wrong with the file is said of another one: %s", stderr)
	}
	spoiled := spoil(t, file)
	wantVerb(t, fresh, 1, "the snapshot is damaged", "raft", "restore", spoiled)
	out := restore(t, fresh, file)
	last := slices.Max(done)
	if want := fmt.Sprintf("up to task %d ", last); !strings.Contains(out, want) {
		t.Errorf("restored %q, want %q", out, want)
	}
	fresh.Worker("hash-1", "hash")
	again := fresh.Client()
	submitEventually(fresh, again, "hash", "x")
	if next := submit(t, again, 1, "hash", always("new"))[0]; next <= last {
		t.Errorf("after the restore a task got id %d, want more than %d", next, last)
	}
	wantVerb(t, fresh, 1, "the cluster is not empty", "raft", "restore", file)
	cluster.Leader().Kill() // the others have the state too
	wantSame(t, again, results)
	restore(t, fresh, file, "--force")
	wantSame(t, again, results)
}

// spoil returns a copy of a file with a bit flipped in the middle.
func spoil(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	spoiled := filepath.Join(t.TempDir(), "spoiled")
	if err := os.WriteFile(spoiled, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return spoiled
}

// wantSame checks that tasks have the results that they had.
func wantSame(t *testing.T, c *client.Client, want map[uint64]*pb.Task) {
	t.Helper()
	for id, task := range want {
		got, err := c.Get(t.Context(), id)
		if err != nil || got.GetResult() != task.GetResult() || got.GetCompletedTime().AsTime() != task.GetCompletedTime().AsTime() {
			t.Fatalf("task %d after the restore: %v, %v; want %v", id, got, err, task)
		}
	}
}

// TestADataDirectoryOfAnotherIsRefusedInWords starts dispatchers on directories that are not theirs.
func TestADataDirectoryOfAnotherIsRefusedInWords(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	d := cluster.Followers()[0]
	d.Terminate()
	d.Exited()
	run := func(words string, args ...string) {
		t.Helper()
		_, stderr, code := g.Run(args...)
		if code != 2 || !strings.Contains(stderr, words) {
			t.Errorf("%v: exit %d, %q; want 2 and %q", args, code, stderr, words)
		}
	}
	ports := grid.FreePorts(t, 1)
	run(`belongs to node "`+d.ID+`", this is node "d9"`, "dispatcher", "--id", "d9", "--data", d.Data, "--listen", ports[0])
	run("--peers counts at the first start only", "dispatcher", "--id", d.ID, "--data", d.Data, "--listen", ports[0], "--peers", d.ID+"="+d.Raft)
	run("is required: the data directory", "dispatcher", "--id", d.ID, "--data", d.Data, "--listen", ports[0], "--nameservice", g.NS)

	// A second cluster takes the place of a member of the first: each says what is wrong, and the first goes on.
	other := grid.New(t)
	other.Nameservice()
	stranger := other.Start("stranger", "dispatcher", "--id", d.ID, "--listen", ports[0], "--nameservice", other.NS,
		"--data", filepath.Join(t.TempDir(), "data"), "--peers", d.ID+"="+d.Raft)
	g.Eventually("the stranger is refused", func(context.Context) error {
		for _, p := range []*grid.Process{stranger, cluster.Leader().Process} {
			if !strings.Contains(p.Log(), "belongs to cluster") {
				return fmt.Errorf("a log does not say that there are two clusters")
			}
		}
		return nil
	})
}

// TestAStaleReadSaysHowFarBehindItIs asks a dispatcher that has lost the others.
func TestAStaleReadSaysHowFarBehindItIs(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	cluster := g.Dispatchers(3)
	g.Worker("hash-1", "hash")
	c := g.Client()
	submitEventually(g, c, "hash", "x")
	last := cluster.Followers()[0]
	for _, r := range cluster.Replicas {
		if r != last {
			r.Kill()
		}
	}
	for _, args := range [][]string{{"list"}, {"events"}} {
		g.Eventually(args[0]+" of one that is alone", func(context.Context) error {
			args = append(args, "--stale", "--dispatcher", last.Address, "-o", "jsonl")
			out, stderr, code := g.Run(args...)
			if code != 0 || out == "" || !strings.Contains(stderr, "as of at most ") || strings.Contains(stderr, "entry 0") {
				return fmt.Errorf("exit %d: %q, %q", code, out, stderr)
			}
			return nil
		})
	}
	wantVerb(t, g, 3, "where nobody leads, any dispatcher tells what it knows: --dispatcher", "raft", "list", "--timeout", "5s")
	if out, _, code := g.Run("raft", "list", "--dispatcher", last.Address); code != 0 || strings.Count(out, "unreachable") != 2 {
		t.Errorf("raft list of one that is alone: exit %d, %s", code, out)
	}
	if _, _, code := g.Run("list", "--dispatcher", last.Address, "--timeout", "1s"); code != 3 {
		t.Errorf("a list that is not stale: exit %d, want 3", code)
	}
}
