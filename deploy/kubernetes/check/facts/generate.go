package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// header stands at the beginning of each file.
const header = "# Generated from docker-compose.yml by `make gen`; do not edit.\n"

// What Kubernetes says otherwise than compose stands in the next two: here, and nowhere else.

// environment is for every pod.
var environment = map[string]string{
	"TASKGRID_LOG_FORMAT": "json", // a cluster collects the logs; compose leaves it to who starts it
}

// args returns the command of a pod. The dispatchers of a StatefulSet have one template and start at once; so each has the
// name of its pod, and all begin as a cluster, where compose's begin as one that others join.
func (w *workload) args() []string {
	args := slices.Clone(w.Command)
	for i := 1; i < len(args); i++ {
		switch args[i-1] {
		case "--id":
			args[i] = "$(POD)"
		case "--data":
			args[i] += "/journal" // beside the volume's lost+found
		case "--raft-address":
			raft := args[i][strings.LastIndex(args[i], ":"):]
			args[i-1], args[i] = "--peers", ""
			for n := range w.replicas {
				args[i] += fmt.Sprintf(",%[1]s-%[2]d=%[1]s-%[2]d.%[1]s%[3]s", w.name, n, raft)
			}
			args[i] = args[i][1:]
		}
	}
	return args
}

type object = map[string]any

// generate returns the files of the folder.
func generate(compose []byte) (map[string][]byte, error) {
	all, err := read(compose)
	if err != nil {
		return nil, err
	}
	base, prometheus := object{}, object{}
	files := map[string]object{"kustomization.yaml": base, "prometheus/kustomization.yaml": prometheus}
	for _, kustomization := range files {
		kustomization["apiVersion"], kustomization["kind"] = "kustomize.config.k8s.io/v1alpha1", "Component"
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		w := all[name]
		ports, err := w.ports()
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		if files[name+".yaml"], err = w.patch(ports); err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		list(base, "patches", object{"path": name + ".yaml"})
		if typ, is := strings.CutPrefix(name, "worker-"); is {
			list(base, "resources", name)
			files[name+"/kustomization.yaml"] = worker(typ)
			list(prometheus, "resources", typ)
			if files["prometheus/"+typ+"/kustomization.yaml"], err = w.autoscaler(typ); err != nil {
				return nil, err
			}
		} else {
			files[name+"-service.yaml"] = reach(name, slices.DeleteFunc(ports, port.isMetrics))
			list(base, "patches", object{"path": name + "-service.yaml"})
		}
	}
	for _, c := range calls {
		if files[c.policy+".yaml"], err = c.egress(all); err != nil {
			return nil, err
		}
		list(base, "patches", object{"path": c.policy + ".yaml"})
	}
	if files["prometheus/metrics-service.yaml"], err = metrics(all); err != nil {
		return nil, err
	}
	list(prometheus, "patches", object{"path": "metrics-service.yaml"})
	texts := map[string][]byte{}
	for name, file := range files {
		text, err := yaml.Marshal(file)
		if err != nil {
			return nil, err
		}
		texts[name] = append([]byte(header), text...)
	}
	return texts, nil
}

// list appends to a list in an object.
func list(in object, name string, what any) {
	old, _ := in[name].([]any)
	in[name] = append(old, what)
}

// patch returns what a Deployment, or the StatefulSet of what has a disk, takes from compose.
func (w *workload) patch(ports []port) (object, error) {
	container, err := w.container(ports)
	if err != nil {
		return nil, err
	}
	kind := "Deployment"
	for _, volume := range w.Volumes {
		kind = "StatefulSet"
		_, path, _ := strings.Cut(volume, ":")
		list(container, "volumeMounts", object{"name": "data", "mountPath": path})
	}
	return object{
		"apiVersion": "apps/v1",
		"kind":       kind,
		"metadata":   object{"name": w.name},
		"spec": object{
			"replicas": w.replicas,
			"template": object{"spec": object{
				"terminationGracePeriodSeconds": w.StopGracePeriod,
				"containers":                    []object{container},
			}},
		},
	}, nil
}

// container returns what a container takes from compose.
func (w *workload) container(ports []port) (object, error) {
	test := w.Healthcheck.Test
	if len(test) < 2 || test[0] != "CMD" {
		return nil, fmt.Errorf("healthcheck %q: want CMD and a program", test)
	}
	container := object{
		"name":  "taskgrid",
		"image": w.Image,
		"args":  w.args(),
		"readinessProbe": object{
			"exec":             object{"command": test[1:]},
			"periodSeconds":    w.Healthcheck.Interval,
			"timeoutSeconds":   w.Healthcheck.Timeout,
			"failureThreshold": w.Healthcheck.Retries,
		},
		"securityContext": object{
			"readOnlyRootFilesystem":   w.ReadOnly,
			"allowPrivilegeEscalation": !slices.Contains(w.SecurityOpt, "no-new-privileges:true"),
			"capabilities":             object{"drop": w.CapDrop},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(w.Environment)) {
		value := w.Environment[name]
		if other, is := environment[name]; is {
			value = other
		} else if strings.Contains(value, "$") {
			return nil, fmt.Errorf("%s: %s: compose leaves it to who starts it; what does Kubernetes say?", name, value)
		}
		list(container, "env", object{"name": name, "value": value})
	}
	for _, p := range ports {
		list(container, "ports", object{"name": p.name, "containerPort": p.number})
		if p.name == "metrics" { // alive is who shows its metrics
			url := fmt.Sprintf("http://127.0.0.1:%d/metrics", p.number)
			container["livenessProbe"] = object{"exec": object{"command": []string{test[1], "health", url}}}
		}
	}
	return container, nil
}

// worker returns the kustomization that makes the workers of a type out of those of any.
func worker(typ string) object {
	return object{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"nameSuffix": "-" + typ,
		"labels":     []object{{"pairs": object{"taskgrid/type": typ}, "includeSelectors": true}},
		"resources":  []string{"../../worker"},
	}
}

// autoscaler returns the kustomization that makes the autoscaler of a type: never fewer workers than with compose.
func (w *workload) autoscaler(typ string) (object, error) {
	patch, err := yaml.Marshal([]object{
		{"op": "add", "path": "/spec/minReplicas", "value": w.replicas},
		{"op": "add", "path": "/spec/scaleTargetRef", "value": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": w.name}},
		{"op": "add", "path": "/spec/metrics/0/external/metric/selector", "value": object{"matchLabels": object{"type": typ}}},
	})
	return object{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"nameSuffix": "-" + typ,
		"resources":  []string{"../../../prometheus/scale"},
		"patches":    []object{{"target": object{"kind": "HorizontalPodAutoscaler"}, "patch": string(patch)}},
	}, err
}
