package check

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// build returns the objects of a folder, as `kubectl apply -k` would send them.
func build(t *testing.T, folder string) []map[string]any {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for _, r := range built.Resources() {
		data, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if err := json.Unmarshal(data, &object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// name is how a failure calls an object.
func name(object map[string]any) string {
	return fmt.Sprintf("%v %v", object["kind"], object["metadata"].(map[string]any)["name"])
}

func TestEveryObjectKeepsThePublishedSchema(t *testing.T) {
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"..", "../base"} {
		kinds := map[any]int{}
		for _, object := range build(t, folder) {
			kinds[object["kind"]]++
			if err := all.validate(object); err != nil {
				t.Errorf("%s: %s:\n%v", folder, name(object), err)
			}
		}
		t.Logf("%s: %v", folder, kinds)
	}
}

func TestTheSchemaRefusesWhatIsWrong(t *testing.T) {
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"{apiVersion: v1, kind: Service, spec: {port: 1}}":                                                ".spec.port: no such field",
		"{apiVersion: v1, kind: Service, spec: {ports: [{port: x}]}}":                                     ".spec.ports[0].port: x: must be of type integer",
		"{apiVersion: v1, kind: Service, spec: {ports: [{name: x}]}}":                                     ".spec.ports[0].port: is required",
		"{apiVersion: apps/v1, kind: Deployment, spec: {replicas: '2', selector: {}, template: {}}}":      ".spec.replicas: 2: must be of type integer",
		"{apiVersion: apps/v2, kind: Deployment}":                                                         "no schema of apps/v2 Deployment",
		"{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, spec: {selector: {}}}":              ".spec.endpoints: is required",
		"{apiVersion: policy/v1, kind: PodDisruptionBudget, spec: {maxUnavailable: true}}":                ".spec.maxUnavailable: true",
		"{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, spec: {maxReplicas: 1, metrics: 3}}": ".spec.metrics: 3",
	} {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		if err := all.validate(object); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// workload is what is looked at of a Deployment or a StatefulSet.
type workload struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Replicas int
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				ServiceAccountName           string
				AutomountServiceAccountToken *bool
				SecurityContext              struct {
					RunAsNonRoot   bool
					SeccompProfile struct{ Type string }
				}
				Containers []container
			}
		}
	}
}

type container struct {
	Ports []struct {
		Name          string
		ContainerPort int
	}
	Resources struct {
		Requests, Limits map[string]string
	}
	SecurityContext struct {
		AllowPrivilegeEscalation *bool
		ReadOnlyRootFilesystem   bool
		Capabilities             struct{ Drop []string }
	}
	LivenessProbe, ReadinessProbe *struct {
		Exec struct{ Command []string }
	}
}

// workloads returns those of the whole grid, by name.
func workloads(t *testing.T) map[string]workload {
	t.Helper()
	found := map[string]workload{}
	for _, object := range build(t, "..") {
		if object["kind"] != "Deployment" && object["kind"] != "StatefulSet" {
			continue
		}
		var w workload
		into(t, object, &w)
		found[w.Metadata.Name] = w
	}
	return found
}

// into reads an object as a type of ours.
func into(t *testing.T, object map[string]any, typ any) {
	t.Helper()
	data, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(data, typ)
	}
	if err != nil {
		t.Fatalf("%s: %v", name(object), err)
	}
}

func TestEveryPodIsConfinedProbedAndBounded(t *testing.T) {
	for name, w := range workloads(t) {
		pod := w.Spec.Template.Spec
		if pod.ServiceAccountName != "taskgrid" || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: account %q, token %v; want the grid's, without a token", name, pod.ServiceAccountName, pod.AutomountServiceAccountToken)
		}
		if !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
			t.Errorf("%s: security context of the pod: %+v", name, pod.SecurityContext)
		}
		if len(pod.Containers) != 1 {
			t.Errorf("%s has %d containers", name, len(pod.Containers))
		}
		for _, c := range pod.Containers {
			s := c.SecurityContext
			if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
				t.Errorf("%s: security context of the container: %+v", name, s)
			}
			if c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" || c.Resources.Limits["memory"] == "" {
				t.Errorf("%s: resources %+v", name, c.Resources)
			}
			for _, probe := range []any{c.LivenessProbe, c.ReadinessProbe} {
				data, _ := json.Marshal(probe)
				if !strings.Contains(string(data), `"/taskgrid","health"`) {
					t.Errorf("%s: probe %s: want the binary itself", name, data)
				}
			}
		}
	}
}

// TestTheBuildBearsWhatComposeSays looks in the built objects for everything that was generated from docker-compose.yml: a
// manifest written by hand might say otherwise, and win. (Without a manifest for one of compose's services there is no build.)
func TestTheBuildBearsWhatComposeSays(t *testing.T) {
	built := map[string]map[string]any{}
	for _, object := range build(t, "..") {
		built[name(object)] = object
	}
	files, _ := filepath.Glob("../compose/*.yaml")
	more, _ := filepath.Glob("../compose/*/*.yaml")
	looked := 0
	for _, file := range append(files, more...) {
		var fact map[string]any
		unmarshal := func(data []byte, into any) error { return yaml.Unmarshal(data, into) }
		if err := read(file, unmarshal, &fact); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		looked++
		for _, missing := range lacks("", built[name(fact)], fact) {
			t.Errorf("%s: compose says %s", name(fact), missing)
		}
	}
	if looked < len(workloads(t)) {
		t.Errorf("%d files for %d workloads", looked, len(workloads(t)))
	}
}

// lacks returns what an object does not have of a fact. The named entries of a list may have others beside them; without
// names, one entry is compared with the other.
func lacks(path string, object, fact any) (missing []string) {
	switch fact := fact.(type) {
	case map[string]any:
		fields, _ := object.(map[string]any)
		for key, value := range fact {
			missing = append(missing, lacks(path+"."+key, fields[key], value)...)
		}
		return missing
	case []any:
		if len(fact) > 0 {
			if first, _ := fact[0].(map[string]any); first["name"] != nil {
				return lacks(path, byName(object), byName(fact))
			}
		}
		if items, _ := object.([]any); len(items) == len(fact) {
			for i := range fact {
				missing = append(missing, lacks(fmt.Sprintf("%s[%d]", path, i), items[i], fact[i])...)
			}
			return missing
		}
	}
	if !reflect.DeepEqual(object, fact) {
		missing = append(missing, fmt.Sprintf("%s: %v, the manifests %v", path, fact, object))
	}
	return missing
}

func byName(list any) map[string]any {
	entries := map[string]any{}
	items, _ := list.([]any)
	for _, item := range items {
		entry := item.(map[string]any)
		entries[fmt.Sprint(entry["name"])] = entry
	}
	return entries
}

// TestAServiceLeadsToItsPods follows each port of each Service to the container behind it.
func TestAServiceLeadsToItsPods(t *testing.T) {
	for _, object := range build(t, "..") {
		if object["kind"] != "Service" {
			continue
		}
		var s struct {
			Spec struct {
				Selector map[string]string
				Ports    []struct {
					Port       int
					TargetPort string
				}
			}
		}
		into(t, object, &s)
		pods := 0
		for _, w := range workloads(t) {
			if !(&selector{MatchLabels: s.Spec.Selector}).selects(w.Spec.Template.Metadata.Labels) {
				continue
			}
			pods++
			numbers := map[string]int{}
			for _, p := range w.Spec.Template.Spec.Containers[0].Ports {
				numbers[p.Name] = p.ContainerPort
			}
			for _, p := range s.Spec.Ports {
				if numbers[p.TargetPort] != p.Port {
					t.Errorf("%s: port %d is %s, and that of %s is %d", name(object), p.Port, p.TargetPort, w.Metadata.Name, numbers[p.TargetPort])
				}
			}
		}
		if pods == 0 || len(s.Spec.Ports) == 0 {
			t.Errorf("%s has %d ports and leads to %d workloads", name(object), len(s.Spec.Ports), pods)
		}
	}
}
