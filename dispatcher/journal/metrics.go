package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the journal tells Prometheus.
type metrics struct {
	registerer prometheus.Registerer // nil: nobody listens
	collectors []prometheus.Collector

	commitSeconds   prometheus.Histogram
	batchRecords    prometheus.Histogram
	batchBytes      prometheus.Histogram
	appendedBytes   prometheus.Counter
	snapshots       *prometheus.CounterVec
	snapshotSeconds prometheus.Histogram
	snapshotBytes   prometheus.Gauge
}

// newMetrics registers the metrics of j. A name that is taken already is an error.
func newMetrics(to prometheus.Registerer, j *Journal) (*metrics, error) {
	m := &metrics{registerer: to}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "taskgrid_journal_" + name, Help: help, Buckets: buckets})
		m.collectors = append(m.collectors, h)
		return h
	}
	gauge := func(name, help string, value func() float64) {
		m.collectors = append(m.collectors,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "taskgrid_journal_" + name, Help: help}, value))
	}
	m.commitSeconds = histogram("commit_seconds", "Time from the first record of an entry to its being durable and applied.",
		prometheus.ExponentialBuckets(0.00005, 2, 16)) // 50 µs to 1.6 s
	m.batchRecords = histogram("batch_records", "Records in an entry.", prometheus.ExponentialBuckets(1, 4, 9))
	m.batchBytes = histogram("batch_bytes", "Bytes in an entry.", prometheus.ExponentialBuckets(64, 4, 9))
	m.snapshotSeconds = histogram("snapshot_seconds", "Time to write a snapshot.", prometheus.ExponentialBuckets(0.001, 4, 9))
	m.appendedBytes = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "taskgrid_journal_appended_bytes_total", Help: "Bytes of entries written to the log."})
	m.snapshots = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "taskgrid_journal_snapshots_total", Help: "Snapshots taken, by result: ok or failed."}, []string{"result"})
	m.snapshotBytes = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "taskgrid_journal_snapshot_bytes", Help: "Size of the newest snapshot."})
	m.collectors = append(m.collectors, m.appendedBytes, m.snapshots, m.snapshotBytes)
	gauge("pending_bytes", "Bytes proposed and not yet handed to raft.", func() float64 { return float64(j.Status().PendingBytes) })
	gauge("leading", "1 while this node leads and takes records, else 0.", func() float64 {
		if j.Status().Leading {
			return 1
		}
		return 0
	})
	gauge("term", "Raft's term.", func() float64 { return float64(j.Status().Term) })
	gauge("applied_index", "Newest entry the state machine has seen.", func() float64 { return float64(j.Status().AppliedIndex) })
	if to == nil {
		return m, nil
	}
	for i, c := range m.collectors {
		if err := to.Register(c); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return nil, err
		}
	}
	return m, nil
}

// unregister takes the metrics away, so that another journal of this process can have them.
func (m *metrics) unregister() {
	if m == nil || m.registerer == nil {
		return
	}
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

// batch notes an entry that goes to raft.
func (m *metrics) batch(b *batch) {
	m.batchRecords.Observe(float64(b.records))
	m.batchBytes.Observe(float64(len(b.entry)))
}

// committed notes an entry that is durable and applied.
func (m *metrics) committed(b *batch) {
	m.commitSeconds.Observe(time.Since(b.began).Seconds())
}
