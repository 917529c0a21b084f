package monitoring

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestMetricsSayWhatTheGridSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) {
			counts := &pb.TaskCounts{
				Submitted: 6, Queued: 1, Running: 1, Completed: 3, Forgotten: 1, Timeouts: 2, Retries: 4, Requeues: 5, Handovers: 9,
				ProcessingTime: durationpb.New(1500e6), QueueTime: durationpb.New(250e6),
			}
			d.status.Tasks = counts
			d.status.Types = []*pb.TypeStatus{{Type: "hash", Tasks: counts}}
			d.status.Workers = []*pb.WorkerLink{{Worker: worker("w1", "ACTIVE", "hash"), Connected: true, Breaker: pb.BreakerState_BREAKER_STATE_OPEN, Running: 1}}
		})
		g.names.set(func(n *fakeNameService) { n.workers = []*pb.Worker{worker("w1", "ACTIVE", "hash")} })
		g.collect()
		resp, body := g.get("/metrics")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("/metrics: got %d %s", resp.StatusCode, body)
		}
		for _, line := range []string{
			`taskgrid_monitoring_source_up{source="dispatcher"} 1`,
			`taskgrid_monitoring_conservation_violations_total 0`,
			`taskgrid_grid_workers{state="ACTIVE"} 1`,
			`taskgrid_grid_workers{state="OFFLINE"} 0`,
			`taskgrid_grid_type_workers{type="hash"} 1`,
			`taskgrid_grid_tasks{state="queued",type="hash"} 1`,
			`taskgrid_grid_tasks{state="completed",type="hash"} 3`,
			`taskgrid_grid_tasks_submitted_total{type="hash"} 6`,
			`taskgrid_grid_attempts_total{outcome="timeout"} 2`,
			`taskgrid_grid_attempts_total{outcome="retry"} 4`,
			`taskgrid_grid_attempts_total{outcome="requeue"} 5`,
			`taskgrid_grid_handovers_total 9`,
			`taskgrid_grid_processing_seconds_total 1.5`,
			`taskgrid_grid_queueing_seconds_total 0.25`,
			`taskgrid_grid_worker_breaker{worker_id="w1"} 2`,
			`taskgrid_grid_worker_connected{worker_id="w1"} 1`,
			`taskgrid_grid_worker_running{worker_id="w1"} 1`,
			`taskgrid_grid_worker_capacity{worker_id="w1"} 4`,
			`taskgrid_grid_raft_term 3`,
			`go_goroutines `,
		} {
			if !strings.Contains(body, "\n"+line) {
				t.Errorf("/metrics has no line %q", line)
			}
		}
		g.get("/nothing/at/all")
		if _, body := g.get("/metrics"); !strings.Contains(body, `taskgrid_monitoring_http_requests_total{route="/metrics",status="200"} 1`) || strings.Contains(body, "/nothing/at/all") {
			t.Error("HTTP requests are not counted by route")
		}
		problems, err := testutil.GatherAndLint(g.metrics.registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	})
}

func TestMetricsOfADeadDispatcherSayThatItIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.kill()
		g.collect()
		if _, body := g.get("/metrics"); !strings.Contains(body, `taskgrid_monitoring_source_up{source="dispatcher"} 0`) || !strings.Contains(body, `taskgrid_monitoring_source_up{source="nameservice"} 1`) {
			t.Errorf("source_up with a dead dispatcher: got\n%s", body)
		}
	})
}
