package workers

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a worker tells Prometheus.
type metrics struct {
	attempts      map[string][FailedPermanent + 1]prometheus.Counter // by type and ending
	seconds       map[string]prometheus.Observer                     // by type
	panics        *prometheus.CounterVec
	refused       prometheus.Counter
	repeated      prometheus.Counter
	dropped       prometheus.Counter
	streams       prometheus.Counter
	heartbeats    *prometheus.CounterVec
	registrations *prometheus.CounterVec
}

// newMetrics registers the metrics of a worker with the given types. The counters of each type are found beforehand,
// so that an attempt costs no look-up by label.
func newMetrics(reg prometheus.Registerer, handlers map[string]Handler) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "taskgrid_worker_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "taskgrid_worker_" + name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	m := &metrics{
		attempts:      map[string][FailedPermanent + 1]prometheus.Counter{},
		seconds:       map[string]prometheus.Observer{},
		panics:        vector("panics_total", "Handlers that panicked.", "type"),
		refused:       counter("refused_total", "Attempts handed back to the dispatcher without an outcome."),
		repeated:      counter("repeated_assignments_total", "Assignments ignored because the attempt was here already."),
		dropped:       counter("dropped_outcomes_total", "Outcomes forgotten because too many were not acknowledged."),
		streams:       counter("streams_total", "Process streams opened by dispatchers."),
		heartbeats:    vector("heartbeats_total", "Heartbeats to a name service, by result: ok, not_found or error.", "result"),
		registrations: vector("registrations_total", "Registrations at a name service, by result: ok or error.", "result"),
	}
	attempts := vector("attempts_total", "Attempts whose handler ended, by type and outcome.", "type", "outcome")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "taskgrid_worker_handler_seconds",
		Help:    "How long handlers ran, by type.",
		Buckets: prometheus.ExponentialBuckets(1e-6, 4, 16), // 1 µs to 18 min
	}, []string{"type"})
	reg.MustRegister(seconds)
	for name := range handlers {
		var counters [FailedPermanent + 1]prometheus.Counter
		for ending := range counters {
			counters[ending] = attempts.WithLabelValues(name, Ending(ending).String())
		}
		m.attempts[name] = counters
		m.seconds[name] = seconds.WithLabelValues(name)
	}
	return m
}

// watch registers gauges of what load tells.
func (m *metrics) watch(reg prometheus.Registerer, load func() Load) {
	gauge := func(name, help string, value func(Load) int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "taskgrid_worker_" + name, Help: help},
			func() float64 { return float64(value(load())) }))
	}
	gauge("running_attempts", "Slots taken.", func(l Load) int { return l.Running })
	gauge("waiting_attempts", "Attempts that wait for a slot.", func(l Load) int { return l.Waiting })
	gauge("overdue_attempts", "Slots taken by handlers that ignore their deadline.", func(l Load) int { return l.Overdue })
	gauge("unacknowledged_outcomes", "Outcomes kept until the dispatcher acknowledges them.", func(l Load) int { return l.Unacknowledged })
}

// ended counts an attempt whose handler returned.
func (m *metrics) ended(taskType string, o Outcome) {
	m.attempts[taskType][o.Ending].Inc()
	m.seconds[taskType].Observe(o.Elapsed.Seconds())
}
