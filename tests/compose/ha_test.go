package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// member is what the test looks at of `taskgrid raft list -o json`.
type member struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Voter bool   `json:"voter"`
}

// TestTheProfileHaSurvivesTheLossOfItsLeaderAndOfANameService kills the dispatcher that leads, while a client waits for a
// task, and then a name service. What a person types goes on working as before.
func TestTheProfileHaSurvivesTheLossOfItsLeaderAndOfANameService(t *testing.T) {
	shared(t) // the image is built
	p, err := newProject("ha", "docker", "compose", "--profile", "ha")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.down)
	p.must(t, "up", "-d", "--wait")
	plain := *p // what is typed without the profile means the same containers
	plain.command = []string{"docker", "compose"}

	running := map[string]int{}
	for _, c := range p.containers(t) {
		running[kindOf(c.service())]++
	}
	for kind, want := range map[string]int{"dispatcher": 3, "nameservice": 2, "worker-reverse": 2, "worker-sum": 2, "worker-hash": 2,
		"worker-upper": 2, "worker-wait": 2, "monitoring": 1, "test-client": 1} {
		if running[kind] != want {
			t.Errorf("`docker compose --profile ha up` started %d of %s, want %d", running[kind], kind, want)
		}
	}
	var seen stats
	eventually(t, "ten workers and three voters", func() error {
		if err := p.get("/stats", &seen); err != nil {
			return err
		}
		if voters, _ := p.voters(t); voters != 3 || seen.Workers.Active != 10 {
			return fmt.Errorf("%d voters, %d workers", voters, seen.Workers.Active)
		}
		return nil
	})

	const leader = "dispatcher-1"
	if _, leads := p.voters(t); leads != leader {
		p.client(t, "raft", "transfer", leader)
	}
	eventually(t, leader+" leads", func() error {
		if _, leads := p.voters(t); leads != leader {
			return fmt.Errorf("%s leads", leads)
		}
		return nil
	})
	waiting := make(chan string, 1)
	go func() { // through the failover
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		out, err := plain.run(ctx, "run", "--rm", "-T", "client", "submit", "wait", "15", "--wait", "--key", "through-the-failover")
		waiting <- fmt.Sprint(strings.TrimSpace(out), err)
	}()
	eventually(t, "the task runs", func() error {
		if out := p.client(t, "list", "--state", "processing", "--text", "through-the-failover", "-o", "jsonl"); out == "" {
			return fmt.Errorf("no task runs")
		}
		return nil
	})
	plain.must(t, "kill", leader)
	if got := plain.client(t, "submit", "reverse", "hello", "--wait"); got != "olleh" {
		t.Errorf("after the leader %s was killed, submit reverse hello --wait printed %q", leader, got)
	}
	if got := <-waiting; got != "waited 15s<nil>" {
		t.Errorf("the client that waited meanwhile: %s", got)
	}
	if _, next := p.voters(t); next == leader {
		t.Errorf("%s leads, and was killed", next)
	}

	p.must(t, "kill", "nameservice")
	for _, e := range examples {
		if got := p.client(t, "submit", e.taskType, e.payload, "--wait"); got != e.want {
			t.Errorf("with one name service left, submit %s %s --wait printed %q, want %q", e.taskType, e.payload, got, e.want)
		}
	}
	p.must(t, "up", "-d", "--wait")
	if got := p.client(t, "submit", "upper", "straße", "--wait"); got != "STRASSE" {
		t.Errorf("with all of them back, submit upper straße --wait printed %q", got)
	}
}

// kindOf returns the name of a service without the number of its instance.
func kindOf(service string) string { return strings.TrimRight(service, "-123") }

// voters returns how many dispatchers vote, and the service of the one that leads.
func (p *project) voters(t *testing.T) (n int, leader string) {
	t.Helper()
	out := p.client(t, "raft", "list", "-o", "jsonl")
	for line := range strings.Lines(out) {
		var m member
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("raft list: %v: %s", err, out)
		}
		if m.Voter {
			n++
		}
		if m.State == "leader" {
			leader = strings.TrimSuffix(m.ID, "-0") // the first is called dispatcher
		}
	}
	return n, leader
}
