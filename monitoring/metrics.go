package monitoring

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the Prometheus metrics of monitoring: taskgrid_grid_… says of the grid what the newest snapshot says,
// taskgrid_monitoring_… says how this process does.
type Metrics struct {
	registry  *prometheus.Registry
	collector *Collector
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	streams   prometheus.Gauge
	sent      prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(reg *prometheus.Registry, c *Collector) *Metrics {
	m := &Metrics{
		registry: reg, collector: c,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "taskgrid_monitoring_http_requests_total", Help: "HTTP requests answered, by route and status.",
		}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "taskgrid_monitoring_http_request_duration_seconds", Help: "Time from request to the end of the answer; for /events, as long as the stream was open.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
		}, []string{"route"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "taskgrid_monitoring_event_streams", Help: "Event streams open now.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "taskgrid_monitoring_events_sent_total", Help: "Events written to all event streams.",
		}),
	}
	reg.MustRegister(m.requests, m.duration, m.streams, m.sent, gridMetrics{c})
	return m
}

// observe counts an answered request. The route is the pattern it matched, so that there are only a few.
func (m *Metrics) observe(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

// handler serves all metrics of this process.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// gridMetrics makes metrics of the newest snapshot each time Prometheus asks.
type gridMetrics struct{ collector *Collector }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	sourceUp         = describe("taskgrid_monitoring_source_up", "1 when the source answered the last time it was asked; for nameservice, when one of them did.", "source")
	violationsTotal  = describe("taskgrid_monitoring_conservation_violations_total", "Answers of the dispatcher whose counts of tasks do not add up.")
	gridWorkers      = describe("taskgrid_grid_workers", "Registered workers by state.", "state")
	gridTypeWorkers  = describe("taskgrid_grid_type_workers", "Registered workers by type, whatever their state.", "type")
	gridTasks        = describe("taskgrid_grid_tasks", "Tasks kept, by type and where they stand.", "type", "state")
	gridSubmitted    = describe("taskgrid_grid_tasks_submitted_total", "Tasks accepted, by type.", "type")
	gridForgotten    = describe("taskgrid_grid_tasks_forgotten_total", "Terminal tasks no longer kept, by type.", "type")
	gridAttempts     = describe("taskgrid_grid_attempts_total", "Attempts that passed their deadline (timeout), were retried (retry) or were refused for capacity (requeue).", "outcome")
	gridHandovers    = describe("taskgrid_grid_handovers_total", "Attempts handed to workers.")
	gridProcessing   = describe("taskgrid_grid_processing_seconds_total", "Sum of the last attempts' durations over all completed tasks.")
	gridQueueing     = describe("taskgrid_grid_queueing_seconds_total", "Sum of the times in the queue over all hand-overs.")
	gridBreaker      = describe("taskgrid_grid_worker_breaker", "Breaker of a worker: 0 closed, 1 half-open, 2 open.", "worker_id")
	gridConnected    = describe("taskgrid_grid_worker_connected", "1 while the dispatcher's stream to the worker is open.", "worker_id")
	gridRunning      = describe("taskgrid_grid_worker_running", "Attempts that a worker runs.", "worker_id")
	gridCapacity     = describe("taskgrid_grid_worker_capacity", "Attempts that a worker can run at the same time.", "worker_id")
	gridHeartbeatAge = describe("taskgrid_grid_worker_heartbeat_age_seconds", "Time between a worker's last heartbeat and the collection.", "worker_id")
	gridTerm         = describe("taskgrid_grid_raft_term", "Raft term of the dispatcher that answered.")
)

// Describe sends nothing: which metrics there are depends on what the sources say.
func (gridMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect makes the metrics of the newest snapshot.
func (g gridMetrics) Collect(ch chan<- prometheus.Metric) {
	latest := g.collector.Latest()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(sourceUp, number(latest.DispatcherUp), "dispatcher")
	gauge(sourceUp, number(latest.NameServiceUp), "nameservice")
	counter(violationsTotal, float64(g.collector.violations.Load()))
	for state, n := range latest.Stats.Workers.ByState {
		gauge(gridWorkers, float64(n), state)
	}
	for typ, n := range latest.Stats.Workers.ByType {
		gauge(gridTypeWorkers, float64(n), typ)
	}
	for _, w := range latest.Workers {
		collectWorker(gauge, w)
	}
	if latest.Dispatcher == nil {
		return
	}
	for typ, t := range latest.Stats.PerType {
		collectType(gauge, counter, typ, t.Counts)
	}
	all := tally(latest.Dispatcher.GetTasks())
	counter(gridAttempts, float64(all.Timeouts), "timeout")
	counter(gridAttempts, float64(all.Retries), "retry")
	counter(gridAttempts, float64(all.Requeues), "requeue")
	counter(gridHandovers, float64(all.Handovers))
	counter(gridProcessing, all.ProcessingTime.Seconds())
	counter(gridQueueing, all.QueueTime.Seconds())
	gauge(gridTerm, float64(latest.Stats.Dispatcher.Term))
}

// send sends one metric.
type send func(d *prometheus.Desc, value float64, labels ...string)

func collectWorker(gauge send, w Worker) {
	breaker := map[string]float64{"closed": 0, "half-open": 1, "open": 2}
	if v, ok := breaker[w.Breaker]; ok {
		gauge(gridBreaker, v, w.WorkerID)
	}
	gauge(gridConnected, number(w.Connected), w.WorkerID)
	gauge(gridRunning, float64(w.Running), w.WorkerID)
	gauge(gridCapacity, float64(w.Capacity), w.WorkerID)
	gauge(gridHeartbeatAge, float64(w.LastHeartbeatAgeMS)/1000, w.WorkerID)
}

func collectType(gauge, counter send, typ string, c Counts) {
	for state, n := range map[string]uint64{
		"queued": c.Queued, "running": c.Running, "retrying": c.Retrying,
		"completed": c.Completed, "failed": c.Failed, "cancelled": c.Cancelled,
	} {
		gauge(gridTasks, float64(n), typ, state)
	}
	counter(gridSubmitted, float64(c.Submitted), typ)
	counter(gridForgotten, float64(c.Forgotten), typ)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
