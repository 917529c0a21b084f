package workers

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsCountWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		d := g.dial()
		d.assign(task(1, "echo", ""), task(2, "fail", "invalid"))
		d.until(d.answered(2))
		d.assign(task(3, "panic", ""), task(4, "nonsense", ""), task(1, "echo", ""))
		d.until(d.answered(4))
		d.ack(first(1))
		synctest.Wait()
		want := map[string]float64{
			"taskgrid_worker_attempts_total completed echo":       1,
			"taskgrid_worker_attempts_total invalid_payload fail": 1,
			"taskgrid_worker_attempts_total retryable panic":      1,
			"taskgrid_worker_panics_total panic":                  1,
			"taskgrid_worker_refused_total":                       1,
			"taskgrid_worker_repeated_assignments_total":          1,
			"taskgrid_worker_registrations_total ok":              1,
			"taskgrid_worker_streams_total":                       1,
			"taskgrid_worker_unacknowledged_outcomes":             2,
			"taskgrid_worker_handler_seconds echo":                1,
			"taskgrid_worker_handler_seconds fail":                1,
			"taskgrid_worker_handler_seconds panic":               1,
		}
		if diff := cmp.Diff(want, samples(t, g.metrics)); diff != "" {
			t.Errorf("metrics that are not 0 (-want +got):\n%s", diff)
		}
	})
}

// samples returns the metrics that are not 0, by name and values of labels; of histograms, how much they counted.
func samples(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += " " + label.GetValue()
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if value != 0 {
				found[name] = value
			}
		}
	}
	return found
}
