package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEachTypeScalesOnItsOwnQueue follows an autoscaler to its workers, and its metric to the gauge of the dispatcher.
func TestEachTypeScalesOnItsOwnQueue(t *testing.T) {
	all, scaled := workloads(t), 0
	for _, object := range build(t, "..") {
		if object["kind"] != "HorizontalPodAutoscaler" {
			continue
		}
		var h struct {
			Metadata struct{ Name string }
			Spec     struct {
				MinReplicas    int
				ScaleTargetRef struct{ Kind, Name string }
				Metrics        []struct {
					External struct {
						Metric struct {
							Name     string
							Selector selector
						}
					}
				}
			}
		}
		into(t, object, &h)
		target, there := all[h.Spec.ScaleTargetRef.Name]
		typ := target.Spec.Template.Metadata.Labels["taskgrid/type"]
		metric := h.Spec.Metrics[0].External.Metric
		if !there || target.Kind != h.Spec.ScaleTargetRef.Kind || typ == "" || metric.Selector.MatchLabels["type"] != typ {
			t.Errorf("%s scales %+v, of type %q, on the metric %+v", h.Metadata.Name, h.Spec.ScaleTargetRef, typ, metric)
		}
		if h.Spec.MinReplicas != target.Spec.Replicas {
			t.Errorf("%s keeps %d workers, want %d as at the beginning", h.Metadata.Name, h.Spec.MinReplicas, target.Spec.Replicas)
		}
		expectIn(t, "../prometheus/adapter-values.yaml", "as: "+metric.Name)
		scaled++
	}
	types := 0
	for _, w := range all {
		if w.Spec.Template.Metadata.Labels["taskgrid/type"] != "" {
			types++
		}
	}
	if scaled != types || types == 0 {
		t.Errorf("%d autoscalers for %d types of workers", scaled, types)
	}
	gauge := "taskgrid_dispatcher_tasks"
	expectIn(t, "../prometheus/adapter-values.yaml", gauge+`{state="QUEUED"`)
	expectIn(t, "../../../dispatcher/metrics.go", `"`+gauge+`"`)
	expectIn(t, "../../../dispatcher/metrics.go", `"QUEUED"`)
}

// TestADisruptionTakesOneAtATime looks for the budget of everything that there is more than one of.
func TestADisruptionTakesOneAtATime(t *testing.T) {
	budgets := map[string]int{}
	for _, object := range build(t, "..") {
		if object["kind"] != "PodDisruptionBudget" {
			continue
		}
		var b struct {
			Spec struct {
				MaxUnavailable int
				Selector       selector
			}
		}
		into(t, object, &b)
		for name, w := range workloads(t) {
			if b.Spec.Selector.selects(w.Spec.Template.Metadata.Labels) && b.Spec.MaxUnavailable == 1 {
				budgets[name]++
			}
		}
	}
	for name, w := range workloads(t) {
		if want := min(w.Spec.Replicas-1, 1); budgets[name] != want {
			t.Errorf("%s has %d replicas and %d budgets of one pod", name, w.Spec.Replicas, budgets[name])
		}
	}
}

func expectIn(t *testing.T, file, text string) {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), text) {
		t.Errorf("%s does not contain %s", file, text)
	}
}
