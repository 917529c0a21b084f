package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// policy is what is looked at of a NetworkPolicy.
type policy struct {
	Metadata struct{ Name string }
	Spec     struct {
		PodSelector     selector
		PolicyTypes     []string
		Ingress, Egress []rule
	}
}

type rule struct {
	From, To []struct{ PodSelector, NamespaceSelector *selector }
	Ports    []struct{ Port any }
}

type selector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	}
}

// selects tells whether a pod has the labels.
func (s *selector) selects(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if labels[key] != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator != "In" || !slices.Contains(e.Values, labels[e.Key]) {
			return false
		}
	}
	return true
}

// talks is who may call whom: component, component, port. Everything else is cut off.
var talks = []string{
	"dispatcher > dispatcher grpc", // to be let in, and to see how the others stand
	"dispatcher > dispatcher raft",
	"dispatcher > nameservice grpc",
	"dispatcher > worker grpc",
	"monitoring > dispatcher grpc",
	"monitoring > nameservice grpc",
	"worker > nameservice grpc",
}

// TestOnlyWhatMustTalkTalks asks, of every component, every other and each of its ports, whether the policies on both
// sides let a call through.
func TestOnlyWhatMustTalkTalks(t *testing.T) {
	var policies []policy
	for _, object := range build(t, "..") {
		if object["kind"] == "NetworkPolicy" {
			var p policy
			into(t, object, &p)
			policies = append(policies, p)
		}
	}
	var open []string
	all := workloads(t)
	for _, from := range all {
		for _, to := range all {
			for _, port := range to.Spec.Template.Spec.Containers[0].Ports {
				caller, called := from.Spec.Template.Metadata.Labels, to.Spec.Template.Metadata.Labels
				way := fmt.Sprintf("%s > %s %s", component(caller), component(called), port.Name)
				out := allowed(policies, "Egress", caller, called, float64(port.ContainerPort)) // not every plugin knows a name there
				in := allowed(policies, "Ingress", called, caller, port.Name)
				switch {
				case out && in:
					open = append(open, way)
				case port.Name != "http" && (out || in): // the page is open to whoever reaches it
					t.Errorf("%s: egress %t, ingress %t: a rule of one side only", way, out, in)
				}
			}
		}
	}
	slices.Sort(open)
	if open = slices.Compact(open); !slices.Equal(open, talks) {
		t.Errorf("these may talk:\n%s\nwant:\n%s", strings.Join(open, "\n"), strings.Join(talks, "\n"))
	}
}

func component(labels map[string]string) string { return labels["app.kubernetes.io/component"] }

// allowed tells whether the policies of a pod let a call to or from a peer pass. A pod that no policy selects is open.
func allowed(policies []policy, direction string, pod, peer map[string]string, port any) bool {
	bound := false
	for _, p := range policies {
		if !slices.Contains(p.Spec.PolicyTypes, direction) || !p.Spec.PodSelector.selects(pod) {
			continue
		}
		bound = true
		rules := p.Spec.Ingress
		if direction == "Egress" {
			rules = p.Spec.Egress
		}
		for _, r := range rules {
			if r.admits(direction, peer) && r.opens(port) {
				return true
			}
		}
	}
	return !bound
}

// admits tells whether a rule is about a pod of the grid.
func (r *rule) admits(direction string, peer map[string]string) bool {
	peers := r.From
	if direction == "Egress" {
		peers = r.To
	}
	for _, p := range peers {
		if p.NamespaceSelector == nil && p.PodSelector != nil && p.PodSelector.selects(peer) {
			return true
		}
	}
	return len(peers) == 0
}

// opens tells whether a rule is about a port, which has a name or a number.
func (r *rule) opens(port any) bool {
	for _, p := range r.Ports {
		if p.Port == port {
			return true
		}
	}
	return len(r.Ports) == 0
}
