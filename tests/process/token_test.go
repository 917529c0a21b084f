//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

const (
	joinToken  = "the-token-of-this-grid"
	otherToken = "the-token-of-another-grid"
)

// tokenFile writes a token into a file.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "join-token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// says waits until the log of a process has the words.
func says(g *grid.Grid, p *grid.Process, words string) {
	g.Eventually(fmt.Sprintf("the log says %q", words), func(context.Context) error {
		if !strings.Contains(p.Log(), words) {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestNobodyRegistersWithoutTheJoinToken(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	file := tokenFile(t, joinToken)
	names := g.Nameservice("--join-token-file", file)
	dispatcher := g.Dispatcher("--join-token-file", file)
	member := g.Worker("member", "hash", "--join-token-file", file)
	without := g.Worker("without", "hash")
	wrong := g.Worker("wrong", "hash", "--join-token", otherToken)
	says(g, without, "refuses this worker: it keeps trying")
	says(g, without, "join token: missing")
	says(g, wrong, "join token: wrong")
	g.Connected("member")
	if got, err := g.Client().Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"}); err != nil || got.WorkerId != "member" {
		t.Errorf("a task was done by %q, %v; want member", got.GetWorkerId(), err)
	}
	conn, err := rpc.Dial(g.NS, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all, err := pb.NewNameServiceClient(conn).LookupWorkers(t.Context(), &pb.LookupWorkersRequest{AllStates: true})
	if err != nil || len(all.Workers) != 1 || all.Workers[0].WorkerId != "member" {
		t.Errorf("registered: %v, %v; want member alone", all, err)
	}
	if without.Gone() || wrong.Gone() {
		t.Error("a worker without the right token gave up")
	}
	if tries := strings.Count(wrong.Log(), "join token: wrong"); tries > 200 {
		t.Errorf("the worker with the wrong token tried %d times: a hot loop", tries)
	}
	for _, p := range []*grid.Process{names, dispatcher, member, wrong} {
		if log := p.Log(); strings.Contains(log, joinToken) || strings.Contains(log, otherToken) {
			t.Errorf("a token stands in the log:\n%s", log)
		}
	}
	// A worker is drained by a member only, and it registers again with a name service that has a token from then on.
	if _, stderr, code := g.Verb("drain", "member"); code != 1 || !strings.Contains(stderr, "join token: missing") {
		t.Errorf("drain without token: exit code %d, %q, want 1 and why", code, stderr)
	}
	if _, stderr, code := g.Verb("drain", "member", "--join-token-file", file); code != 0 {
		t.Errorf("drain with the token: exit code %d, %q, want 0", code, stderr)
	}
	names.Kill()
	names.Start()
	g.Connected() // the dispatcher answers
	g.Eventually("the worker is back at a name service that was restarted", func(ctx context.Context) error {
		all, err := pb.NewNameServiceClient(conn).LookupWorkers(ctx, &pb.LookupWorkersRequest{AllStates: true})
		if err == nil && len(all.Workers) != 1 {
			err = fmt.Errorf("registered: %v", all)
		}
		return err
	})
}

func TestABadJoinTokenIsRefusedAtTheStart(t *testing.T) {
	g := grid.New(t)
	short := tokenFile(t, "fifteen-bytes-x")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--join-token", "fifteen-bytes-x"}, "join-token: 15 bytes: must be 16 to 1024 bytes"},
		{[]string{"--join-token-file", short}, "join-token-file: " + short + ": 15 bytes: must be 16"},
		{[]string{"--join-token-file", short + "-away"}, "no such file"},
		{[]string{"--join-token", joinToken, "--join-token-file", short}, "give one of the two"},
	} {
		for _, command := range [][]string{{"nameservice"}, {"dispatcher", "--data", t.TempDir()}, {"worker", "hash"}, {"drain", "w"}} {
			_, stderr, code := g.Run(append(command, c.args...)...)
			if code != 2 || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "fifteen") {
				t.Errorf("%s %s: exit code %d, %q; want 2 and %q", command[0], c.args, code, stderr, c.want)
			}
		}
	}
	t.Setenv("TASKGRID_JOIN_TOKEN", "too-short")
	if _, stderr, code := g.Run("worker", "hash"); code != 2 || !strings.Contains(stderr, "9 bytes") {
		t.Errorf("TASKGRID_JOIN_TOKEN of 9 bytes: exit code %d, %q", code, stderr)
	}
}
