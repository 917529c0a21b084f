package check

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
				ServiceAccountName            string
				AutomountServiceAccountToken  *bool
				TerminationGracePeriodSeconds int
				SecurityContext               struct {
					RunAsNonRoot   bool
					SeccompProfile struct{ Type string }
				}
				Containers []container
			}
		}
	}
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct{ Name, Value string }
	Ports       []struct {
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
		Exec           struct{ Command []string }
		TimeoutSeconds int
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

// service is what is looked at of a service in docker-compose.yml.
type service struct {
	Image           string
	Command         []string
	Environment     map[string]string
	StopGracePeriod string `json:"stop_grace_period"`
	Healthcheck     struct {
		Test    []string
		Timeout string
	}
}

// own says what a manifest may say otherwise than compose: by workload, flag or variable.
var own = map[string][]string{
	"":           {"TASKGRID_LOG_FORMAT", "TASKGRID_ID"},                                              // JSON for a cluster's collector; a pod has a name
	"dispatcher": {"--id", "--data", "--raft-address", "--peers", "POD", "TASKGRID_MAX_QUEUED_BYTES"}, // three at once, by pod name
}

// TestTheManifestsSayTheSameAsCompose compares everything that both of them say: image, command, environment, address of
// the health check, grace period.
func TestTheManifestsSayTheSameAsCompose(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct{ Services map[string]service }
	if err := yaml.Unmarshal(data, &compose); err != nil {
		t.Fatal(err)
	}
	all := workloads(t)
	for name, w := range all {
		s, there := compose.Services[name]
		if !there {
			t.Errorf("compose has no service %s", name)
			continue
		}
		replicas := 0
		for other := range compose.Services {
			if kindOf(other) == name {
				replicas++
			}
		}
		if w.Spec.Replicas != replicas {
			t.Errorf("%s: %d replicas, want %d as with compose --profile ha", name, w.Spec.Replicas, replicas)
		}
		c := w.Spec.Template.Spec.Containers[0]
		if c.Image != s.Image {
			t.Errorf("%s: image %q, compose has %q", name, c.Image, s.Image)
		}
		grace, err := time.ParseDuration(s.StopGracePeriod)
		if got := w.Spec.Template.Spec.TerminationGracePeriodSeconds; err != nil || got != int(grace.Seconds()) {
			t.Errorf("%s: %d s of grace, compose has %s", name, got, s.StopGracePeriod)
		}
		if got, want := c.ReadinessProbe.Exec.Command, s.Healthcheck.Test[1:]; !slices.Equal(got, want) {
			t.Errorf("%s: readiness probe %v, compose has %v", name, got, want)
		}
		compare(t, name, "command", flagsOf(c.Args), flagsOf(s.Command))
		environment := map[string]string{}
		for _, e := range c.Env {
			environment[e.Name] = e.Value
		}
		compare(t, name, "environment", environment, s.Environment)
	}
	for name := range compose.Services {
		if _, there := all[name]; !there && kindOf(name) == name && name != "client" && name != "test-client" {
			t.Errorf("no manifest of compose's service %s", name)
		}
	}
}

// kindOf returns the name of a service without the number of its instance.
func kindOf(service string) string { return strings.TrimRight(service, "-123") }

// flagsOf returns a command as its flags and, under no name, its words.
func flagsOf(command []string) map[string]string {
	flags := map[string]string{}
	for i := 0; i < len(command); i++ {
		if !strings.HasPrefix(command[i], "--") {
			flags[""] += command[i] + " "
			continue
		}
		value := ""
		if i+1 < len(command) && !strings.HasPrefix(command[i+1], "--") {
			value = command[i+1]
		}
		flags[command[i]] = value
		i++
	}
	return flags
}

func compare(t *testing.T, workload, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range append(own[""], own[workload]...) {
		delete(got, name)
		delete(want, name)
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s %v, compose has %v", workload, what, g, w)
	}
}
