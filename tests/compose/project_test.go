// Package compose tests docker-compose.yml with a real container engine and a real Compose: the examples, scaling,
// stopping and starting, two grids beside each other.
//
// The tests run when COMPOSE_TESTS=1 is set (make compose; .ci/engine up makes an engine where there is none), because
// they build an image. Without an engine they fail where CI=true, and are skipped elsewhere.
package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"taskgrid/internal/ports"
)

// patience is how long a test waits for what should take moments.
const patience = time.Minute

// project is one copy of the compose project, with a name and published ports of its own.
type project struct {
	name       string
	command    []string // docker compose, or docker-compose for 1.29; and -f with the files, if it is not the usual one
	dispatcher string   // published address
	monitoring string   // published address
}

// newProject returns a project that is not started yet.
func newProject(name string, command ...string) (*project, error) {
	p := &project{name: fmt.Sprintf("taskgrid-%s-%d", name, os.Getpid()), command: command}
	published, err := ports.Free(2)
	if err != nil {
		return nil, err
	}
	p.dispatcher, p.monitoring = published[0], published[1]
	return p, nil
}

// run runs a compose command to its end. Stdout is returned; on an error, so is what it wrote to stderr.
func (p *project) run(ctx context.Context, args ...string) (string, error) {
	args = append(append(p.command[1:len(p.command):len(p.command)], "-p", p.name), args...)
	cmd := exec.CommandContext(ctx, p.command[0], args...)
	cmd.Dir = "../.." // where docker-compose.yml stands
	_, dispatcher, _ := net.SplitHostPort(p.dispatcher)
	_, monitoring, _ := net.SplitHostPort(p.monitoring)
	cmd.Env = append(os.Environ(), "DISPATCHER_PORT="+dispatcher, "MONITORING_PORT="+monitoring,
		"DOCKER_BUILDKIT=1", "COMPOSE_DOCKER_CLI_BUILD=1", "GOPROXY="+goEnv("GOPROXY"), "GOSUMDB="+goEnv("GOSUMDB"), "GONOSUMDB="+goEnv("GONOSUMDB"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", p.command[0], strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// goEnv returns a setting of this machine's Go: the build in the image uses the same module proxy.
func goEnv(name string) string {
	out, _ := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out))
}

// must is run for commands that have to succeed.
func (p *project) must(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // t.Context has ended where tests clean up
	defer cancel()
	out, err := p.run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// client runs a verb as a person would, and returns what it printed.
func (p *project) client(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(p.must(t, append([]string{"run", "--rm", "-T", "client"}, args...)...))
}

// down removes everything of the project.
func (p *project) down() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := p.run(ctx, "down", "-v", "--remove-orphans", "-t", "2"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// get reads JSON from monitoring's REST interface.
func (p *project) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.monitoring+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// stats is what the tests look at of GET /stats.
type stats struct {
	Workers struct {
		Active int            `json:"active"`
		ByType map[string]int `json:"by_type"`
	} `json:"workers"`
	Tasks struct {
		Submitted, Queued, Running, Retrying, Completed, Failed, Cancelled, Forgotten int
	} `json:"tasks"`
	Missing []any `json:"missing"`
}

// worker is what the tests look at of GET /workers.
type worker struct {
	ID        string   `json:"worker_id"`
	Types     []string `json:"types"`
	Address   string   `json:"address"`
	State     string   `json:"state"`
	Connected bool     `json:"connected"`
}

// workersOf returns the workers of a type that get tasks.
func (p *project) workersOf(taskType string) ([]worker, error) {
	var answer struct{ Workers []worker }
	if err := p.get("/workers", &answer); err != nil {
		return nil, err
	}
	var found []worker
	for _, w := range answer.Workers {
		if len(w.Types) == 1 && w.Types[0] == taskType && w.State == "ACTIVE" && w.Connected {
			found = append(found, w)
		}
	}
	return found, nil
}

// eventually waits until check returns nil, and fails the test with its last error otherwise.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// container is what the tests look at of `docker inspect`.
type container struct {
	Name   string
	Config struct {
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs bool
		CapDrop        []string
		SecurityOpt    []string
		PortBindings   map[string]any
	}
	State struct {
		Status   string
		ExitCode int
		Health   *struct{ Status string }
	}
	Mounts []struct{ Type, Destination string }
}

// service is the compose service that a container belongs to.
func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

// containers returns the project's containers, the stopped ones included.
func (p *project) containers(t *testing.T) []container {
	t.Helper()
	ids, err := exec.CommandContext(t.Context(), "docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name).Output()
	if err != nil {
		t.Fatalf("docker ps: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), "docker", append([]string{"inspect"}, strings.Fields(string(ids))...)...).Output()
	if err != nil {
		t.Fatalf("docker inspect: %v", err)
	}
	var all []container
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("docker inspect: %v", err)
	}
	return all
}

// atoi is strconv.Atoi for what a command printed.
func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
