package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestChildHelper is no test: the supervisors of the tests below run it as their child, in the role given after "--".
func TestChildHelper(t *testing.T) {
	if flag.NArg() == 0 {
		t.Skip("plays the child of a supervisor under test")
	}
	fmt.Println("started")
	switch role := flag.Arg(0); role {
	case "dies":
		os.Exit(1)
	case "is killed":
		p, _ := os.FindProcess(os.Getpid())
		p.Kill()
		select {}
	case "is full":
		fmt.Println("taskgrid: journal: the disk is full")
		os.Exit(1)
	case "misused":
		fmt.Println("taskgrid: unknown flag: --colour")
		os.Exit(exitUsage)
	case "finishes":
		os.Exit(0)
	case "obeys":
		io.Copy(io.Discard, os.Stdin)
		fmt.Println("ending")
		os.Exit(0)
	case "hangs":
		select {}
	}
}

// testGrace is longer than any child of these tests needs.
const testGrace = 20 * time.Second

// helper returns a child that is this test program. Its race detector need not wait a second for others at the end.
func helper(t *testing.T, name, role string, st stage) child {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	return child{name: name, stage: st, args: []string{"-test.run=^TestChildHelper$", "--", role}}
}

// transcript is what a supervisor wrote; a test can wait for a line.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{}, 1)} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// waitFor returns when a line matches, n times.
func (s *transcript) waitFor(t *testing.T, n int, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(20 * time.Second)
	for len(re.FindAllString(s.String(), -1)) < n {
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("no %d lines match %q in:\n%s", n, pattern, s)
		}
	}
}

// supervise runs the children until the returned function is called, which returns run's error.
func supervise(t *testing.T, grace time.Duration, children ...child) (*transcript, func() error) {
	t.Helper()
	out := newTranscript()
	return out, superviseIn(t, newSupervisor(os.Args[0], children, grace, out))
}

// superviseIn is supervise for a supervisor that the test holds.
func superviseIn(t *testing.T, s *supervisor) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, context.Background()) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestAChildThatDiesIsStartedAgain(t *testing.T) {
	out, stop := supervise(t, testGrace, helper(t, "worker-hash-1", "dies", stageWorkers))
	out.waitFor(t, 2, `worker-hash-1 +\| started`)
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if want := "ended: exit status 1; starting it again in 200ms"; !strings.Contains(out.String(), want) {
		t.Errorf("output lacks %q:\n%s", want, out)
	}
}

func TestAChildThatWasStartedWronglyEndsEverythingWithItsMessage(t *testing.T) {
	out := newTranscript()
	err := newSupervisor(os.Args[0], []child{helper(t, "dispatcher", "misused", stageDispatcher), helper(t, "worker-hash-1", "obeys", stageWorkers)}, testGrace, out).run(t.Context(), t.Context())
	if want := "dispatcher: taskgrid: unknown flag: --colour"; err == nil || err.Error() != want {
		t.Errorf("run: %v, want %q; output:\n%s", err, want, out)
	}
}

func TestAChildThatEndsAgainAndAgainEndsEverythingWithItsLastWord(t *testing.T) {
	out := newTranscript()
	err := newSupervisor(os.Args[0], []child{helper(t, "dispatcher", "is full", stageDispatcher), helper(t, "worker-hash-1", "obeys", stageWorkers)}, testGrace, out).run(t.Context(), t.Context())
	if want := "dispatcher ended 5 times, each time within 10s of its start (exit status 1): taskgrid: journal: the disk is full"; err == nil || err.Error() != want {
		t.Errorf("run: %v, want %q; output:\n%s", err, want, out)
	}
	var coded exitError
	if !errors.As(err, &coded) || coded.code != exitFailed {
		t.Errorf("run: %v, want exit code %d", err, exitFailed)
	}
}

func TestAChildThatIsKilledComesBackHoweverOften(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not tell who was killed from who ended by itself")
	}
	out, stop := supervise(t, testGrace, helper(t, "worker-hash-1", "is killed", stageWorkers))
	out.waitFor(t, restartTries+1, `worker-hash-1 +\| started`)
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestAtOnceMeansThatNobodyIsWaitedFor(t *testing.T) {
	out := newTranscript()
	s := newSupervisor(os.Args[0], []child{helper(t, "worker", "hangs", stageWorkers), helper(t, "nameservice", "hangs", stageNameservice)}, time.Hour, out)
	ctx, cancel := context.WithCancel(context.Background())
	atOnce, kill := context.WithCancel(context.Background())
	defer kill()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, atOnce) }()
	out.waitFor(t, 2, "started")
	cancel()
	kill()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(testGrace):
		t.Fatalf("still waiting; output:\n%s", out)
	}
}

func TestATestClientThatIsDoneIsNotStartedAgain(t *testing.T) {
	c := helper(t, "test-client", "finishes", stageClient)
	c.mayFinish = true
	out, _ := supervise(t, testGrace, c)
	out.waitFor(t, 1, `test-client \(pid \d+\) is done`)
}

func TestWorkersEndBeforeTheDispatcherAndTheNameService(t *testing.T) {
	out, stop := supervise(t, testGrace, helper(t, "nameservice", "obeys", stageNameservice), helper(t, "dispatcher", "obeys", stageDispatcher),
		helper(t, "worker", "obeys", stageWorkers), helper(t, "test-client", "obeys", stageClient))
	out.waitFor(t, 4, "started")
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	var order []string
	for line := range strings.Lines(out.String()) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), "| ending"); ok {
			order = append(order, strings.TrimSpace(name))
		}
	}
	if want := []string{"test-client", "worker", "dispatcher", "nameservice"}; !slices.Equal(order, want) {
		t.Errorf("the children ended in the order %v, want %v; output:\n%s", order, want, out)
	}
}

func TestAChildThatDoesNotEndIsKilledAfterItsGrace(t *testing.T) {
	out, stop := supervise(t, 50*time.Millisecond, helper(t, "worker", "hangs", stageWorkers))
	out.waitFor(t, 1, "started")
	if err := stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if want := "did not end well within 50ms: signal: killed"; !strings.Contains(out.String(), want) {
		t.Errorf("output lacks %q:\n%s", want, out)
	}
}

func TestChildrenDoNotGetVariablesThatOnlyOneOfThemCouldFollow(t *testing.T) {
	got := withoutCollisions([]string{"PATH=/bin", "TASKGRID_METRICS_ADDRESS=:9090", "TASKGRID_INTERVAL=5s", "TASKGRID_MAX_ATTEMPTS=2"})
	if want := []string{"PATH=/bin", "TASKGRID_MAX_ATTEMPTS=2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
