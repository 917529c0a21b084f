//go:build unix

package process

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	processes "taskgrid/internal/process"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// ready is the line that `taskgrid up -o json` prints.
type ready struct {
	ReadyMS     int64          `json:"ready_ms"`
	Page        string         `json:"page"`
	Nameservice string         `json:"nameservice"`
	Data        string         `json:"data"`
	PIDs        map[string]int `json:"pids"`
}

// up starts `taskgrid up` on free ports and waits until it says that it is ready. At the end of the test it is asked to
// end, before its folder is removed.
func up(t *testing.T, g *grid.Grid, flags ...string) (*grid.Process, ready) {
	t.Helper()
	p := g.Start("up", append(append([]string{"up", "-o", "json"}, portFlags(t, g)...), flags...)...)
	t.Cleanup(func() {
		if !p.Gone() {
			p.Terminate()
			p.Exited()
		}
	})
	return p, waitReady(t, p, 1)
}

// waitReady waits until the process has said for the n-th time that it is ready.
func waitReady(t *testing.T, p *grid.Process, n int) ready {
	t.Helper()
	deadline := time.Now().Add(grid.Patience)
	for {
		said := 0
		for line := range strings.Lines(p.Log()) {
			var r ready
			if strings.HasPrefix(line, `{"ready":`) && json.Unmarshal([]byte(line), &r) == nil {
				if said++; said == n {
					return r
				}
			}
		}
		if p.Gone() {
			t.Fatalf("up ended with %d before it was ready", p.Exited())
		}
		if time.Now().After(deadline) {
			t.Fatalf("up is not ready within %v", grid.Patience)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// portFlags give `up` ports that the system gives to nobody else's connections in the meantime, as it would with 0.
func portFlags(t *testing.T, g *grid.Grid) []string {
	t.Helper()
	return []string{"--nameservice-port", port(g.NS), "--dispatcher-port", port(g.Disp), "--http-port", port(g.HTTP),
		"--monitoring-port", port(grid.FreePorts(t, 1)[0])}
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// gone tells whether a process has ended; one that only waits for its parent to notice counts as ended.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// allGone waits until none of the processes lives.
func allGone(t *testing.T, pids map[string]int) {
	t.Helper()
	deadline := time.Now().Add(grid.Patience)
	for name, pid := range pids {
		for !gone(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("%s (pid %d) lives on for %v", name, pid, grid.Patience)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// logged waits until the process has logged the text.
func logged(t *testing.T, p *grid.Process, text string) {
	t.Helper()
	deadline := time.Now().Add(grid.Patience)
	for !strings.Contains(p.Log(), text) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in the log after %v", text, grid.Patience)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestUpIsReadyWithinThreeSeconds(t *testing.T) {
	most := 3 * time.Second
	best := time.Hour
	for try := 1; try <= 3 && best > most; try++ { // other tests keep the processors busy: the best of three counts
		t.Run(fmt.Sprint("try ", try), func(t *testing.T) {
			g := grid.New(t)
			before := startsOne(g)
			began := time.Now()
			_, r := up(t, g, "--ephemeral")
			best = min(best, time.Since(began))
			most = max(most, 12*min(before, startsOne(g))) // what nine processes take that share the processors with others
			if len(r.PIDs) != 8 {
				t.Errorf("up runs %v, want name service, dispatcher, five workers and monitoring", r.PIDs)
			}
		})
	}
	if best > most {
		t.Errorf("up was ready after %v, want at most %v", best, most)
	}
}

// startsOne returns how long a process takes that starts and ends.
func startsOne(g *grid.Grid) time.Duration {
	began := time.Now()
	g.Run("version")
	return time.Since(began)
}

func TestAKilledProcessComesBackAndItsTaskIsDone(t *testing.T) {
	g := grid.New(t)
	p, r := up(t, g, "--data", "d")
	for _, name := range []string{"worker-hash-1", "dispatcher", "nameservice"} {
		if err := syscall.Kill(r.PIDs[name], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		logged(t, p, fmt.Sprintf("%s (pid %d) ended: signal: killed; starting it again in 200ms", name, r.PIDs[name]))
		out, said, code := g.Verb("submit", "hash", "x", "--wait", "--timeout", "25s") // to start again takes a busy machine seconds
		if want := "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\n"; out != want || code != 0 {
			t.Fatalf("after kill -9 of %s, submit hash x --wait printed %q, exit code %d, %s", name, out, code, said)
		}
	}
}

func TestNothingOutlivesAKilledUp(t *testing.T) {
	p, r := up(t, grid.New(t), "--data", "d")
	p.Kill()
	allGone(t, r.PIDs)
}

func TestUpLetsWorkersFinishBeforeItEnds(t *testing.T) {
	g := grid.New(t)
	p, r := up(t, g, "--data", "d")
	out, said, code := g.Verb("submit", "wait", "7")
	if code != 0 {
		t.Fatalf("submit wait 7: exit code %d, %s", code, said)
	}
	id := strings.TrimSpace(out)
	runs(t, g, id)
	p.Terminate()
	if code := p.Exited(); code != 0 {
		t.Errorf("up ended with exit code %d, want 0", code)
	}
	allGone(t, r.PIDs)

	p.Start()
	waitReady(t, p, 2)
	var task struct {
		Result   string
		Attempts int
	}
	out, said, _ = g.Verb("wait", id, "-o", "json")
	if err := json.Unmarshal([]byte(out), &task); err != nil {
		t.Fatalf("wait %s -o json printed %q, %s", id, out, said)
	}
	if task.Result != "waited 7s" || task.Attempts != 1 {
		t.Errorf("task %s ended with %q after %d attempts, want %q by the attempt that ran when up was asked to end", id, task.Result, task.Attempts, "waited 7s")
	}
}

// runs waits until a task runs.
func runs(t *testing.T, g *grid.Grid, id string) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	inState(g, g.Client(), n, pb.TaskState_TASK_STATE_PROCESSING)
}

// TestASecondCtrlCWaitsForNobody asks up to end while a task runs, and again.
func TestASecondCtrlCWaitsForNobody(t *testing.T) {
	g := grid.New(t)
	p, r := up(t, g, "--ephemeral")
	out, _, _ := g.Verb("submit", "wait", "60")
	runs(t, g, strings.TrimSpace(out))
	p.Terminate()
	logged(t, p, "up: stopping; waiting for running tasks (at most 15s), Ctrl-C again to end at once")
	time.Sleep(processes.SameSignal) // a person who presses Ctrl-C again
	again := time.Now()
	p.Terminate()
	p.Exited()
	if took := time.Since(again); took > 5*time.Second {
		t.Errorf("up ended %v after the second signal, want at once", took)
	}
	allGone(t, r.PIDs)
}

func TestASecondUpOnTheSameDataIsRefused(t *testing.T) {
	g := grid.New(t)
	p, _ := up(t, g, "--data", "d")
	out, said, code := g.Run("up", "--data", "d")
	if want := fmt.Sprintf("data: d is in use by another taskgrid up (pid %d)", p.Pid()); code != 1 || !strings.Contains(said, want) || out != "" {
		t.Errorf("the second up ended with %d and said %q, want 1 and %q", code, said, want)
	}
}

func TestAPortThatIsTakenMovesAndTheExampleFollows(t *testing.T) {
	g := grid.New(t)
	lis, err := net.Listen("tcp", g.NS)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	p := g.Start("up", append([]string{"up", "--ephemeral"}, portFlags(t, g)...)...)
	t.Cleanup(func() { p.Terminate(); p.Exited() })
	logged(t, p, "Ctrl-C")
	if want := fmt.Sprintf("port %s is taken: --nameservice-port is ", port(g.NS)); !strings.Contains(p.Log(), want) {
		t.Errorf("up does not say %q", want)
	}
	for line := range strings.Lines(p.Log()) {
		words := strings.Fields(line)
		if len(words) > 2 && words[0] == "Try" {
			if out, said, code := g.Run(words[2:]...); code != 0 || out != "olleh\n" {
				t.Errorf("the example %q ended with %d and printed %q, %s", line, code, out, said)
			}
			return
		}
	}
	t.Error("up gave no example")
}

func TestAWrongSettingOfAProcessEndsUpWithItsMessage(t *testing.T) {
	g := grid.New(t)
	t.Setenv("TASKGRID_STRATEGY", "fastest")
	_, said, code := g.Run(append([]string{"up", "--ephemeral"}, portFlags(t, g)...)...)
	if code != 2 || !strings.Contains(said, "dispatcher: taskgrid: strategy:") {
		t.Errorf("up with TASKGRID_STRATEGY=fastest ended with %d and said %q, want 2 and the dispatcher's own words", code, said)
	}
}

func TestAnEphemeralGridLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p, r := up(t, grid.New(t), "--ephemeral")
	if filepath.Dir(r.Data) != os.Getenv("TMPDIR") {
		t.Fatalf("data in %s, want it below %s", r.Data, os.Getenv("TMPDIR"))
	}
	p.Terminate()
	if code := p.Exited(); code != 0 {
		t.Errorf("up ended with exit code %d, want 0", code)
	}
	if _, err := os.Stat(r.Data); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", r.Data, err)
	}
}
