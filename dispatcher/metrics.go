package dispatcher

import (
	"github.com/prometheus/client_golang/prometheus"

	"taskgrid/dispatcher/core"
)

// metrics is what Prometheus sees of a dispatcher. Counts come from the machine when they are asked for; the histograms
// are filled by the leader as it goes.
type metrics struct {
	d          *Dispatcher
	queueing   *prometheus.HistogramVec
	processing *prometheus.HistogramVec
	ended      *prometheus.CounterVec

	types map[string]*typeMetrics // guarded by the Dispatcher's lock
}

// typeMetrics is what is noted of one type, found once: with every task, finding it would cost more than noting.
type typeMetrics struct {
	queueing, processing prometheus.Observer
	ended                map[core.State]prometheus.Counter
}

// of returns the metrics of a type.
func (m *metrics) of(typ string) *typeMetrics {
	tm := m.types[typ]
	if tm == nil {
		tm = &typeMetrics{queueing: m.queueing.WithLabelValues(typ), processing: m.processing.WithLabelValues(typ),
			ended: map[core.State]prometheus.Counter{}}
		m.types[typ] = tm
	}
	return tm
}

var (
	descTasks     = prometheus.NewDesc("taskgrid_dispatcher_tasks", "Tasks that are kept, by type and state.", []string{"type", "state"}, nil)
	descSubmitted = prometheus.NewDesc("taskgrid_dispatcher_tasks_submitted_total", "Tasks accepted, by type.", []string{"type"}, nil)
	descTimeouts  = prometheus.NewDesc("taskgrid_dispatcher_attempt_timeouts_total", "Attempts that passed their deadline, by type.", []string{"type"}, nil)
	descRetries   = prometheus.NewDesc("taskgrid_dispatcher_attempt_retries_total", "Attempts that ended in RETRYING, by type.", []string{"type"}, nil)
	descRequeues  = prometheus.NewDesc("taskgrid_dispatcher_attempt_requeues_total", "Attempts that a worker refused for capacity, by type.", []string{"type"}, nil)
	descBreaker   = prometheus.NewDesc("taskgrid_dispatcher_breaker_state", "A worker's breaker: 0 closed, 1 half-open, 2 open.", []string{"worker"}, nil)
	descConnected = prometheus.NewDesc("taskgrid_dispatcher_worker_connected", "1 while the stream to a worker is open.", []string{"worker"}, nil)
	descRunning   = prometheus.NewDesc("taskgrid_dispatcher_worker_running", "Attempts that a worker has.", []string{"worker"}, nil)
	descOddities  = prometheus.NewDesc("taskgrid_dispatcher_odd_answers_total", "Answers of workers that did not count or should not have come, by reason.", []string{"reason"}, nil)
	descLeading   = prometheus.NewDesc("taskgrid_dispatcher_leading", "1 while this replica leads.", nil, nil)
	descLastEvent = prometheus.NewDesc("taskgrid_dispatcher_last_event", "Sequence number of the newest event.", nil, nil)
)

// newMetrics registers the metrics of d; with no registry they are kept and not shown.
func newMetrics(reg prometheus.Registerer, d *Dispatcher) *metrics {
	seconds := prometheus.ExponentialBuckets(0.0001, 4, 12) // 100 µs to 7 minutes
	m := &metrics{
		d: d, types: map[string]*typeMetrics{},
		queueing: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "taskgrid_dispatcher_queueing_seconds",
			Help: "From the time a task was queued to its hand-over, by type.", Buckets: seconds}, []string{"type"}),
		processing: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "taskgrid_dispatcher_processing_seconds",
			Help: "From hand-over to outcome, of attempts that ended with a result, by type.", Buckets: seconds}, []string{"type"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "taskgrid_dispatcher_attempts_total",
			Help: "Attempts by type and by the state that their end led to."}, []string{"type", "outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m, m.queueing, m.processing, m.ended)
	}
	return m
}

// observe takes a step of a task into the histograms. It is called under the Dispatcher's lock.
func (m *metrics) observe(t *core.Task, from core.State) {
	if m.d.scheduler == nil {
		return // replay
	}
	switch {
	case t.State == core.Dispatched:
		m.of(t.Type).queueing.Observe(max(0, t.DispatchedAt.Time().Sub(t.QueuedAt.Time()).Seconds()))
	case from.Running() || from == core.Timeout:
		if t.State == core.Processing {
			return
		}
		of := m.of(t.Type)
		if of.ended[t.State] == nil {
			of.ended[t.State] = m.ended.WithLabelValues(t.Type, t.State.String())
		}
		of.ended[t.State].Inc()
		if t.State == core.Completed {
			of.processing.Observe(t.Duration.Seconds())
		}
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descTasks, descSubmitted, descTimeouts, descRetries, descRequeues, descBreaker,
		descConnected, descRunning, descOddities, descLeading, descLastEvent} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	snap := m.d.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range snap.types {
		st := &snap.types[i]
		gauge(descTasks, float64(st.Queued), st.Type, "QUEUED")
		gauge(descTasks, float64(st.Running), st.Type, "RUNNING")
		gauge(descTasks, float64(st.Retrying), st.Type, "RETRYING")
		gauge(descTasks, float64(st.Completed), st.Type, "COMPLETED")
		gauge(descTasks, float64(st.Failed), st.Type, "FAILED")
		gauge(descTasks, float64(st.Cancelled), st.Type, "CANCELLED")
		count(descSubmitted, st.Submitted, st.Type)
		count(descTimeouts, st.Timeouts, st.Type)
		count(descRetries, st.Retries, st.Type)
		count(descRequeues, st.Requeues, st.Type)
	}
	for _, w := range snap.workers {
		gauge(descBreaker, float64(w.Breaker), w.Info.ID)
		gauge(descConnected, flag(w.Connected), w.Info.ID)
		gauge(descRunning, float64(w.Running), w.Info.ID)
	}
	for reason, n := range snap.oddities {
		count(descOddities, n, reason)
	}
	gauge(descLeading, flag(snap.leading))
	gauge(descLastEvent, float64(snap.last))
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
