package main

import (
	"fmt"
	"slices"
)

// calls are the policies that say who calls, in base/network.yaml, and what each lets them reach: a port of a component.
var calls = []call{
	{"to-nameservice", "nameservice", "grpc"},
	{"to-dispatcher", "dispatcher", "grpc"},
	{"to-raft", "dispatcher", "raft"},
	{"to-worker", "worker", "grpc"},
}

type call struct{ policy, component, port string }

// egress returns what a policy of who calls takes from compose: the port by number, for not every network plugin knows the
// names of ports in egress.
func (c call) egress(all map[string]workload) (object, error) {
	numbers, err := numbers(all, c.component, c.port)
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", c.policy, err)
	}
	rule := object{"to": []object{{"podSelector": object{"matchLabels": object{"app.kubernetes.io/component": c.component}}}}}
	for _, number := range numbers {
		list(rule, "ports", object{"port": number})
	}
	return object{
		"apiVersion": "networking.k8s.io/v1",
		"kind":       "NetworkPolicy",
		"metadata":   object{"name": c.policy},
		"spec":       object{"egress": []object{rule}},
	}, nil
}

// metrics returns the port of the Service that leads to the metrics of every pod.
func metrics(all map[string]workload) (object, error) {
	numbers, err := numbers(all, "", "metrics")
	if err != nil {
		return nil, err
	}
	if len(numbers) > 1 {
		return nil, fmt.Errorf("ports %v of metrics: one Service leads to all, want one number", numbers)
	}
	return reach("metrics", []port{{"metrics", numbers[0]}}), nil
}

// numbers returns those that a port has in the workloads of a component, or in all: one at least.
func numbers(all map[string]workload, component, name string) ([]int, error) {
	var found []int
	for _, w := range all {
		ports, err := w.ports()
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if p.name == name && (component == "" || component == w.component()) {
				found = append(found, p.number)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no service of compose has a port %s", name)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// reach returns the ports of a Service.
func reach(name string, ports []port) object {
	spec := object{}
	for _, p := range ports {
		entry := object{"name": p.name, "port": p.number, "targetPort": p.name}
		if p.name == "grpc" {
			entry["appProtocol"] = "kubernetes.io/h2c"
		}
		list(spec, "ports", entry)
	}
	return object{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": name}, "spec": spec}
}
