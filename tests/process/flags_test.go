//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// wantRefused fails the test unless err refuses with the code and names what is wanted.
func wantRefused(t *testing.T, what string, err error, code codes.Code, words string) {
	t.Helper()
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, words) {
		t.Errorf("%s: %v, want %v with %q", what, err, code, words)
	}
}

// get returns the body of a page.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), err
}

// TestFlagsThatBoundWhatTheDispatcherTakes starts one with small bounds and goes beyond each.
func TestFlagsThatBoundWhatTheDispatcherTakes(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher("--max-payload", "100", "--max-queued", "5", "--max-queued-bytes", "300")
	worker := g.Worker("hash-1", "hash")
	g.Connected("hash-1")
	c := g.Client()
	_, err := c.Submit(t.Context(), &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", 101)})
	wantRefused(t, "--max-payload 100, payload of 101 bytes", err, codes.InvalidArgument, "101 bytes")
	worker.Kill()
	submit(t, c, 3, "hash", always(strings.Repeat("x", 100)))
	_, err = c.Submit(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"})
	wantRefused(t, "--max-queued-bytes 300, one byte more", err, codes.ResourceExhausted, "at most 300")
	submit(t, c, 2, "hash", always(""))
	_, err = c.Submit(t.Context(), &pb.TaskSpec{Type: "hash"})
	wantRefused(t, "--max-queued 5, a sixth task", err, codes.ResourceExhausted, "at most 5")
}

// TestFlagsThatBoundWhatTheDispatcherKeeps looks at what is left of ten finished tasks.
func TestFlagsThatBoundWhatTheDispatcherKeeps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flag, value string
		left        int
	}{
		{"--keep-count", "3", 3},
		{"--keep-age", "1ms", 0},
		{"--keep-bytes", "200", 2}, // payload and result of a hash task take 72 bytes together
	} {
		t.Run(tt.flag, func(t *testing.T) {
			t.Parallel()
			g := grid.New(t)
			g.Nameservice()
			g.Dispatcher(tt.flag, tt.value, "--keep-events", "20")
			g.Worker("hash-1", "hash")
			g.Connected("hash-1")
			c := g.Client()
			for i := range 10 {
				if _, err := c.Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: fmt.Sprintf("%08d", i)}); err != nil {
					var refused *client.RefusedError
					if !errors.As(err, &refused) || refused.Code != codes.NotFound { // forgotten already
						t.Fatal(err)
					}
				}
			}
			g.Eventually(fmt.Sprintf("%s %s leaves %d tasks", tt.flag, tt.value, tt.left), func(ctx context.Context) error {
				n := 0
				for _, err := range c.List(ctx, &pb.ListTasksRequest{}) {
					if err != nil {
						return err
					}
					n++
				}
				if n != tt.left {
					return fmt.Errorf("%d are left", n)
				}
				return nil
			})
			for _, err := range c.Events(t.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
				wantRefused(t, "--keep-events 20, events from the first on", err, codes.OutOfRange, "forgotten")
				break
			}
		})
	}
}

// TestFlagsThatDecideAboutAttempts lets a task time out.
func TestFlagsThatDecideAboutAttempts(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher("--max-attempts", "2", "--attempt-timeout", "100ms", "--retry-initial", "1s", "--retry-max", "1s",
		"--breaker-faults", "1", "--breaker-pause", "500ms")
	g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	c := g.Client()
	task, err := c.Run(t.Context(), &pb.TaskSpec{Type: "wait", Payload: "30"})
	if err != nil || task.State != pb.TaskState_TASK_STATE_FAILED || task.Attempts != 2 {
		t.Fatalf("--max-attempts 2 --attempt-timeout 100ms, wait 30: %v, %v, want FAILED after 2 attempts", task, err)
	}
	if !strings.Contains(task.Error, "100ms") {
		t.Errorf("--attempt-timeout 100ms: error %q, want it named", task.Error)
	}
	var retrying time.Time
	for _, s := range task.History {
		switch s.To {
		case pb.TaskState_TASK_STATE_RETRYING:
			retrying = s.Time.AsTime()
		case pb.TaskState_TASK_STATE_QUEUED:
			if pause := s.Time.AsTime().Sub(retrying); !retrying.IsZero() && (pause < 450*time.Millisecond || pause > 6*time.Second) { // a busy machine takes longer
				t.Errorf("--retry-initial 1s: the task was queued again after %v, want 0.5s to 1.5s", pause)
			}
		}
	}
	var opened, probed time.Time
	for event, err := range c.Events(t.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if w := event.GetWorker(); w.GetAspect() == "breaker" {
			switch {
			case w.To == "open" && opened.IsZero():
				opened = event.Time.AsTime()
			case w.To == "half-open" && probed.IsZero():
				probed = event.Time.AsTime()
			}
		}
	}
	if opened.IsZero() || probed.IsZero() {
		t.Fatalf("--breaker-faults 1: after two timeouts the breaker opened at %v and was half-open at %v", opened, probed)
	}
	if pause := probed.Sub(opened); pause < 450*time.Millisecond || pause > 4500*time.Millisecond { // the default is 5s
		t.Errorf("--breaker-pause 500ms: half-open after %v", pause)
	}
}

// TestFlagAdoptGrace restarts the dispatcher after the worker has died too.
func TestFlagAdoptGrace(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	dispatcher := g.Dispatcher("--adopt-grace", "700ms")
	worker := g.Worker("wait-1", "wait")
	g.Connected("wait-1")
	c := g.Client()
	id := submit(t, c, 1, "wait", always("30"))[0]
	inState(g, c, id, pb.TaskState_TASK_STATE_PROCESSING)
	dispatcher.Kill()
	worker.Kill()
	dispatcher.Start()
	task := inState(g, c, id, pb.TaskState_TASK_STATE_QUEUED)
	if !strings.Contains(task.Error, "700ms") {
		t.Errorf("--adopt-grace 700ms: the task moved on with %q", task.Error)
	}
}

// TestFlagsThatSayWhere looks for what is listened on, and for files.
func TestFlagsThatSayWhere(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	ports := grid.FreePorts(t, 8)
	data := t.TempDir()
	g.Nameservice("--metrics-address", ports[0], "--admin-address", ports[1])
	g.Dispatcher("--metrics-address", ports[2], "--admin-address", ports[3], "--data", data, "--id", "d7", "--advertise", g.Disp)
	g.Worker("hash-1", "hash", "--metrics-address", ports[4], "--admin-address", ports[5], "--labels", "room=5", "--window", "0")
	g.Monitoring("--metrics-address", ports[6], "--admin-address", ports[7], "--interval", "100ms", "--dispatcher", g.Disp)
	g.Connected("hash-1")
	if _, err := g.Client().Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"}); err != nil {
		t.Errorf("--advertise %s: a client that asks the name service: %v", g.Disp, err)
	}
	for i, want := range []string{"taskgrid_nameservice_workers", "", "taskgrid_dispatcher_leading 1", "", "taskgrid_worker_", "", "taskgrid_monitoring_", ""} {
		url := "http://" + ports[i] + "/metrics"
		if want == "" {
			url, want = "http://"+ports[i]+"/debug/pprof/", "goroutine"
		}
		g.Eventually(url, func(ctx context.Context) error {
			body, err := get(ctx, url)
			if err == nil && !strings.Contains(body, want) {
				err = fmt.Errorf("it has no %q", want)
			}
			return err
		})
	}
	if entries, err := os.ReadDir(filepath.Join(data)); err != nil || len(entries) == 0 {
		t.Errorf("--data %s: %d files, %v", data, len(entries), err)
	}
	st, err := g.Client().Status(t.Context())
	if err != nil || st.GetRaft().GetId() != "d7" {
		t.Errorf("--id d7: %q, %v", st.GetRaft().GetId(), err)
	}
	if _, stderr, code := g.Run("dispatcher", "--admin-address", "0.0.0.0:6060", "--data", t.TempDir(), "--listen", "127.0.0.1:0"); code == 0 || !strings.Contains(stderr, "loopback") {
		t.Errorf("--admin-address 0.0.0.0:6060: exit code %d, %q, want a refusal that says loopback", code, stderr)
	}
}

// TestFlagStrategy sends tasks one after the other to three idle workers.
func TestFlagStrategy(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	dispatcher := g.Dispatcher("--strategy", "round-robin")
	for _, id := range []string{"hash-1", "hash-2", "hash-3"} {
		g.Worker(id, "hash")
	}
	g.Connected("hash-1", "hash-2", "hash-3")
	c := g.Client()
	handed := func(n int) (to []string) {
		for range n {
			task, err := c.Run(t.Context(), &pb.TaskSpec{Type: "hash", Payload: "x"})
			if err != nil {
				t.Fatal(err)
			}
			to = append(to, task.WorkerId)
		}
		return to
	}
	byTurn := func(to []string) bool { // chance does so once in 3 to the power of 27
		return len(slices.Compact(slices.Sorted(slices.Values(to[:3])))) == 3 && slices.Equal(to[3:], to[:len(to)-3])
	}
	if to := handed(30); !byTurn(to) {
		t.Errorf("--strategy round-robin: %v, want the three by turns", to)
	}
	dispatcher.Kill()
	g.Dispatcher("--strategy", "random")
	g.Connected("hash-1", "hash-2", "hash-3")
	to := handed(30)
	if some := slices.Compact(slices.Sorted(slices.Values(to))); byTurn(to) || len(some) != 3 { // chance leaves one out once in 60,000
		t.Errorf("--strategy random: %v, want the three in no order", to)
	}
}
