package compose

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// first is the grid that most tests share; they leave it as they found it.
var first *project

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

// runAll builds the image, starts the shared grid, runs the tests and removes everything.
func runAll(m *testing.M) int {
	if os.Getenv("COMPOSE_TESTS") != "1" {
		return m.Run() // every test skips itself
	}
	if err := exec.Command("docker", "version").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "no container engine answers; .ci/engine up starts one:", err)
			return 1
		}
		return m.Run()
	}
	p, err := newProject("first", "docker", "compose")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer p.down()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	began := time.Now()
	for _, args := range [][]string{{"build"}, {"up", "-d", "--wait"}} {
		if _, err := p.run(ctx, args...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			logs, _ := p.run(ctx, "logs", "--tail", "20")
			fmt.Fprintln(os.Stderr, logs)
			return 1
		}
		fmt.Fprintf(os.Stderr, "docker compose %s took %.0f s\n", strings.Join(args, " "), time.Since(began).Seconds())
		began = time.Now()
	}
	first = p
	return m.Run()
}

// shared returns the grid that runAll started.
func shared(t *testing.T) *project {
	t.Helper()
	if first == nil {
		t.Skip("needs a container engine, and COMPOSE_TESTS=1: make compose")
	}
	return first
}

// examples are those of the contract.
var examples = []struct{ taskType, payload, want string }{
	{"reverse", "a🙂b", "b🙂a"},
	{"sum", "[0.1,0.2]", "0.3"},
	{"hash", "x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
	{"upper", "straße", "STRASSE"},
	{"wait", "250ms", "waited 250ms"},
}

func TestEveryContainerIsHealthyAndConfined(t *testing.T) {
	p := shared(t)
	services := map[string]bool{}
	for _, c := range p.containers(t) {
		services[c.service()] = true
		if c.State.Status != "running" {
			t.Errorf("%s is %s, want running", c.Name, c.State.Status)
		}
		if c.service() != "test-client" && (c.State.Health == nil || c.State.Health.Status != "healthy") {
			t.Errorf("%s: health %+v, want healthy", c.Name, c.State.Health)
		}
		h := c.HostConfig
		if c.Config.User != "65532:65532" || !h.ReadonlyRootfs || !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Contains(h.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: user %q, read-only %t, dropped %v, options %v; want 65532:65532, true, [ALL], no-new-privileges", c.Name, c.Config.User, h.ReadonlyRootfs, h.CapDrop, h.SecurityOpt)
		}
		if mounts := len(c.Mounts); (c.service() == "dispatcher") != (mounts == 1) || mounts > 1 {
			t.Errorf("%s has mounts %v, want one for the dispatcher's journal and none elsewhere", c.Name, c.Mounts)
		}
		if published := len(h.PortBindings) > 0; published != (c.service() == "dispatcher" || c.service() == "monitoring") {
			t.Errorf("%s publishes %v, want ports of dispatcher and monitoring only", c.Name, h.PortBindings)
		}
	}
	for _, name := range []string{"nameservice", "dispatcher", "worker-reverse", "worker-sum", "worker-hash", "worker-upper", "worker-wait", "monitoring", "test-client"} {
		if !services[name] {
			t.Errorf("`docker compose up` did not start %s; started: %v", name, services)
		}
	}
}

func TestTheExamplesPassAndAreCounted(t *testing.T) {
	p := shared(t)
	p.must(t, "stop", "test-client") // its tasks are not ours to count
	var before, after stats
	eventually(t, "the test client's tasks end", func() error {
		if err := p.get("/stats", &before); err != nil {
			return err
		}
		if open := before.Tasks.Queued + before.Tasks.Running + before.Tasks.Retrying; open > 0 {
			return fmt.Errorf("%d tasks are open", open)
		}
		return nil
	})
	for _, e := range examples {
		if got := p.client(t, "submit", e.taskType, e.payload, "--wait"); got != e.want {
			t.Errorf("submit %s %s --wait printed %q, want %q", e.taskType, e.payload, got, e.want)
		}
	}
	eventually(t, "stats count the examples", func() error {
		if err := p.get("/stats", &after); err != nil {
			return err
		}
		want := before.Tasks
		want.Submitted += len(examples)
		want.Completed += len(examples)
		if after.Tasks != want {
			return fmt.Errorf("tasks before %+v, after %+v, want %+v", before.Tasks, after.Tasks, want)
		}
		return nil
	})
	if after.Workers.Active != 5 || len(after.Workers.ByType) != 5 || len(after.Missing) > 0 {
		t.Errorf("stats: workers %+v, missing %v; want five active ones of five types and nothing missing", after.Workers, after.Missing)
	}
}

func TestThreeWorkersOfATypeHaveThreeAddressesAndShareTheTasks(t *testing.T) {
	p := shared(t)
	p.must(t, "up", "-d", "--no-recreate", "--wait", "--scale", "worker-hash=3")
	t.Cleanup(func() { p.must(t, "up", "-d", "--no-recreate", "--wait", "--scale", "worker-hash=1") })
	addresses := map[string]bool{}
	eventually(t, "three hash workers", func() error {
		workers, err := p.workersOf("hash")
		if err != nil {
			return err
		}
		clear(addresses)
		for _, w := range workers {
			addresses[w.Address] = true
		}
		if len(addresses) != 3 {
			return fmt.Errorf("addresses %v", addresses)
		}
		return nil
	})
	for address := range addresses {
		if strings.HasPrefix(address, "worker") {
			t.Errorf("a worker registered the service name %s, want its own address", address)
		}
	}

	results := p.client(t, "submit", "hash", "x", "--count", "30", "--wait")
	if n := strings.Count(results, examples[2].want); n != 30 {
		t.Errorf("30 hash tasks printed %d right results:\n%s", n, results)
	}
	var page struct {
		Tasks []struct {
			Worker string `json:"worker_id"`
		}
	}
	if err := p.get("/tasks?type=hash&limit=30", &page); err != nil {
		t.Fatal(err)
	}
	share := map[string]int{}
	for _, task := range page.Tasks {
		share[task.Worker]++
	}
	if len(share) != 3 {
		t.Errorf("30 tasks were done by %v, want three workers", share)
	}
}

func TestATaskWaitsForItsStoppedWorker(t *testing.T) {
	p := shared(t)
	p.must(t, "stop", "worker-hash")
	t.Cleanup(func() { p.must(t, "start", "worker-hash") })
	id := atoi(t, p.client(t, "submit", "hash", "x"))
	var task struct{ Status, Result string }
	if err := p.get(fmt.Sprint("/tasks/", id), &task); err != nil {
		t.Fatal(err)
	}
	if task.Status != "QUEUED" {
		t.Errorf("without a worker task %d is %s, want QUEUED", id, task.Status)
	}
	p.must(t, "start", "worker-hash")
	if got := p.client(t, "wait", fmt.Sprint(id)); got != examples[2].want {
		t.Errorf("after `start worker-hash`, wait %d printed %q, want %q", id, got, examples[2].want)
	}
}

func TestASecondCopyRunsBesideTheFirst(t *testing.T) {
	p := shared(t)
	second, err := newProject("second", "docker", "compose")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.down)
	second.must(t, "up", "-d", "--wait", "nameservice", "dispatcher", "monitoring", "worker-reverse")
	if got := second.client(t, "submit", "reverse", "second", "--wait"); got != "dnoces" {
		t.Errorf("the second grid answers %q, want dnoces", got)
	}
	eventually(t, "the second grid counts its own", func() error {
		var theirs stats
		if err := second.get("/stats", &theirs); err != nil {
			return err
		}
		if theirs.Tasks.Submitted != 1 || theirs.Workers.Active != 1 {
			return fmt.Errorf("%d tasks and %d workers, want 1 and 1", theirs.Tasks.Submitted, theirs.Workers.Active)
		}
		return nil
	})
	if got := p.client(t, "submit", "reverse", "first", "--wait"); got != "tsrif" {
		t.Errorf("beside it the first grid answers %q, want tsrif", got)
	}
}

func TestTheOldComposeStartsTheGridToo(t *testing.T) {
	shared(t)
	if _, err := exec.LookPath("docker-compose"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("docker-compose 1.29 is not installed")
	}
	old, err := newProject("old", "docker-compose")
	if err != nil {
		t.Fatal(err)
	}
	old.must(t, "config", "-q")
	t.Cleanup(old.down)
	old.must(t, "up", "-d", "test-client") // brings everything it depends on
	var seen stats
	eventually(t, "five workers", func() error {
		if err := old.get("/stats", &seen); err != nil {
			return err
		}
		if seen.Workers.Active != 5 {
			return fmt.Errorf("%d workers are active", seen.Workers.Active)
		}
		return nil
	})
	if got := old.client(t, "submit", "reverse", "hello", "--wait"); got != "olleh" {
		t.Errorf("under docker-compose 1.29 the grid answers %q, want olleh", got)
	}
}

func TestTheGridRunsWithTLSByOneFileMore(t *testing.T) {
	shared(t) // has built the image
	files := []string{"-f", "docker-compose.yml", "-f", "docker-compose.tls.yml"}
	if _, err := exec.LookPath("docker-compose"); err == nil {
		old, err := newProject("oldtls", append([]string{"docker-compose"}, files...)...)
		if err != nil {
			t.Fatal(err)
		}
		old.must(t, "config", "-q")
	}
	p, err := newProject("tls", append([]string{"docker", "compose"}, files...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.down)
	p.must(t, "up", "-d", "--wait")
	for _, e := range examples {
		if got := p.client(t, "submit", e.taskType, e.payload, "--wait"); got != e.want {
			t.Errorf("with TLS: submit %s %s --wait printed %q, want %q", e.taskType, e.payload, got, e.want)
		}
	}
	var seen stats
	if err := p.get("/stats", &seen); err != nil || seen.Workers.Active != 5 || len(seen.Missing) > 0 {
		t.Errorf("with TLS: stats %+v, %v; want five active workers and nothing missing", seen, err)
	}
	// The same project without the file: on its network, but without certificate.
	stranger := *p
	stranger.command = []string{"docker", "compose"}
	for _, verb := range [][]string{{"submit", "reverse", "x"}, {"list"}, {"workers"}, {"drain", "w"}} {
		args := append([]string{"run", "--rm", "-T", "client"}, verb...)
		if out, err := stranger.run(t.Context(), args...); err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("%s without certificate: %q, %v; want exit code 3", verb, out, err)
		}
	}
	if got := p.client(t, "submit", "reverse", "still", "--wait"); got != "llits" {
		t.Errorf("after that the grid answers %q, want llits", got)
	}
}

// This one stops the shared grid, so it stands last: tests run in the order of the file.
func TestEverythingEndsWellWhenStopped(t *testing.T) {
	p := shared(t)
	p.must(t, "stop")
	for _, c := range p.containers(t) {
		if c.State.Status != "exited" || c.State.ExitCode != 0 {
			t.Errorf("after `docker compose stop` %s is %s with exit code %d, want exited with 0", c.Name, c.State.Status, c.State.ExitCode)
		}
	}
}
