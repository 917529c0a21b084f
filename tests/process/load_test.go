//go:build unix

package process

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// stats is what /stats answers, as far as these tests look.
type stats struct {
	Workers struct {
		Registered int            `json:"registered"`
		Active     int            `json:"active"`
		ByType     map[string]int `json:"by_type"`
	} `json:"workers"`
	TaskTypes []string `json:"task_types"`
	Tasks     struct {
		Submitted, Queued, Running, Retrying, Completed, Failed, Cancelled, Forgotten uint64
	} `json:"tasks"`
	Timeouts      uint64   `json:"timeouts"`
	Retries       uint64   `json:"retries"`
	AvgProcessing *float64 `json:"avg_processing_time_ms"`
	Missing       []string `json:"missing"`
}

// getStats asks monitoring.
func getStats(ctx context.Context, g *grid.Grid) (s stats, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.HTTP+"/stats", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("/stats: %s", resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// statsWhen waits until ok returns nil for what /stats answers, and returns that.
func statsWhen(g *grid.Grid, what string, ok func(stats) error) (s stats) {
	g.Eventually(what, func(ctx context.Context) error {
		var err error
		if s, err = getStats(ctx, g); err != nil {
			return err
		}
		return ok(s)
	})
	return s
}

// TestTwoHundredClientsAtOnce submits five tasks from each of 200 clients and looks at /stats all the while.
func TestTwoHundredClientsAtOnce(t *testing.T) {
	const clients, each = 200, 5
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("reverse-1", "reverse")
	g.Worker("sum-1", "sum")
	g.Monitoring()
	g.Connected("reverse-1", "sum-1")
	statsWhen(g, "monitoring sees everything", func(s stats) error {
		if len(s.Missing) > 0 || s.Workers.Active != 2 {
			return fmt.Errorf("missing %v, %d active workers", s.Missing, s.Workers.Active)
		}
		return nil
	})

	stop := make(chan struct{})
	var watching sync.WaitGroup
	samples := 0
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			s, err := getStats(t.Context(), g)
			if err != nil {
				t.Error(err)
				return
			}
			samples++
			if n := s.Tasks; n.Submitted != n.Queued+n.Running+n.Retrying+n.Completed+n.Failed+n.Cancelled+n.Forgotten {
				t.Errorf("/stats does not conserve: %+v", n)
			}
		}
	})

	var mu sync.Mutex
	ids := map[uint64]bool{}
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c, err := client.New(client.Config{NameServices: g.NS, Sender: fmt.Sprint("client-", i)})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := range each {
				typ, payload, want := "reverse", fmt.Sprintf("%03d-%02d", i, n), ""
				for _, r := range payload {
					want = string(r) + want
				}
				if n%2 == 1 {
					typ, payload, want = "sum", fmt.Sprintf("%d,%d", i, n), fmt.Sprint(i+n)
				}
				task, err := c.Run(t.Context(), &pb.TaskSpec{Type: typ, Payload: payload})
				if err != nil || task.GetResult() != want {
					t.Errorf("%s %s: %q, %v, want %q", typ, payload, task.GetResult(), err, want)
					return
				}
				mu.Lock()
				ids[task.Id] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	close(stop)
	watching.Wait()
	if len(ids) != clients*each {
		t.Errorf("%d distinct ids, want %d", len(ids), clients*each)
	}
	if samples == 0 {
		t.Error("nobody looked at /stats meanwhile")
	}
	statsWhen(g, "/stats counts all", func(s stats) error {
		if s.Tasks.Submitted != clients*each || s.Tasks.Completed != clients*each {
			return fmt.Errorf("%+v", s.Tasks)
		}
		return nil
	})
}

// TestStatsTellWhatHappened runs a few tasks with known fates and reads /stats.
func TestStatsTellWhatHappened(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	types := []string{"hash", "reverse", "sum", "upper", "wait"}
	var workers []string
	for _, typ := range types {
		g.Worker(typ+"-1", typ)
		workers = append(workers, typ+"-1")
	}
	g.Monitoring()
	g.Connected(workers...)
	idle := statsWhen(g, "/stats of an idle grid shows all", func(s stats) error {
		if s.Workers.Active != len(types) || len(s.TaskTypes) != len(types) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	for _, typ := range types {
		if idle.Workers.ByType[typ] != 1 {
			t.Errorf("/stats of an idle grid: workers by type %v, want one %s", idle.Workers.ByType, typ)
		}
	}
	if idle.AvgProcessing != nil {
		t.Errorf("/stats of an idle grid: average %v, want null", *idle.AvgProcessing)
	}

	c := g.Client()
	longest := 0.0 // of the five, in milliseconds, as their histories have it
	for _, task := range waitAll(t.Context(), t, c, submit(t, c, 5, "wait", always("1"))) {
		longest = max(longest, float64(task.CompletedTime.AsTime().Sub(task.DispatchedTime.AsTime()).Microseconds())/1000)
	}
	s := statsWhen(g, "/stats counts the five", func(s stats) error {
		if s.Tasks.Completed != 5 {
			return fmt.Errorf("%+v", s.Tasks)
		}
		return nil
	})
	if avg := *s.AvgProcessing; avg < 1000 || avg > max(1200, longest) {
		t.Errorf("the average of `wait 1` is %v ms, want 1000 to 1200, or at most %v as the longest", avg, longest)
	}
	slow, err := c.Run(t.Context(), &pb.TaskSpec{Type: "wait", Payload: "30", MaxAttempts: 3, AttemptTimeout: durationpb.New(200 * time.Millisecond)})
	if err != nil || slow.State != pb.TaskState_TASK_STATE_FAILED || !strings.Contains(slow.Error, "timeout") {
		t.Fatalf("wait 30 with 3 attempts of 200ms: %v, %v, want FAILED with the timeout", slow, err)
	}
	statsWhen(g, "timeouts and retries are what happened", func(s stats) error {
		if s.Timeouts != 3 || s.Retries != 2 || s.Tasks.Failed != 1 {
			return fmt.Errorf("%d timeouts, %d retries, %d failed; want 3, 2, 1", s.Timeouts, s.Retries, s.Tasks.Failed)
		}
		return nil
	})
}
