package nameservice

import "github.com/prometheus/client_golang/prometheus"

// Metrics returns a collector that asks the server when it is scraped. So metrics cost the other calls nothing.
func (s *Server) Metrics() prometheus.Collector { return collector{s} }

type collector struct{ server *Server }

var (
	workersDesc         = metric("workers", "Workers known, by state.", "state")
	leasesDesc          = metric("leases", "Leases that a heartbeat can keep alive.")
	servicesDesc        = metric("services", "Service instances announced.")
	settledDesc         = metric("settled", "1 when a worker's absence means something, else 0.")
	watchersDesc        = metric("watchers", "Watches open now.")
	callersDesc         = metric("service_watchers", "Watches open now of who leads.")
	registrationsDesc   = metric("registrations_total", "Registrations accepted.")
	replacedDesc        = metric("replaced_total", "Registrations that took the worker_id of another process.")
	heartbeatsDesc      = metric("heartbeats_total", "Heartbeats accepted.")
	unknownLeasesDesc   = metric("unknown_leases_total", "Heartbeats refused because the lease was unknown.")
	lookupsDesc         = metric("lookups_total", "Lookups of workers answered.")
	changesDesc         = metric("changes_total", "Changes that watchers were told of.")
	watchersDroppedDesc = metric("watchers_dropped_total", "Watches ended because they were read too slowly.")
)

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("taskgrid_nameservice_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	it := c.server.report()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	var byState [Offline + 1]int
	for _, w := range it.Workers {
		byState[w.State]++
	}
	for state := Active; state <= Offline; state++ {
		gauge(workersDesc, float64(byState[state]), state.String())
	}
	settled := 0.0
	if it.Settled {
		settled = 1
	}
	gauge(settledDesc, settled)
	gauge(leasesDesc, float64(len(it.Workers)))
	gauge(servicesDesc, float64(it.services))
	gauge(watchersDesc, float64(it.watchers))
	gauge(callersDesc, float64(it.callers))
	counter(registrationsDesc, it.counts.Registrations)
	counter(replacedDesc, it.counts.Replaced)
	counter(heartbeatsDesc, it.counts.Heartbeats)
	counter(unknownLeasesDesc, it.counts.UnknownLeases)
	counter(changesDesc, it.Version)
	counter(lookupsDesc, c.server.lookups.Load())
	counter(watchersDroppedDesc, c.server.watchersDropped.Load())
}
