package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// service is what is read of a service of compose.
type service struct {
	Image           string
	Command         []string
	Environment     map[string]string
	Volumes         []string
	StopGracePeriod seconds  `json:"stop_grace_period"`
	ReadOnly        bool     `json:"read_only"`
	CapDrop         []string `json:"cap_drop"`
	SecurityOpt     []string `json:"security_opt"`
	Healthcheck     struct {
		Test              []string
		Interval, Timeout seconds
		Retries           int
	}
}

// seconds is a duration as Kubernetes wants it: whole, and 0 only where compose does not say it.
type seconds int

// UnmarshalJSON reads compose's spelling, such as 20s or 1m.
func (s *seconds) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d <= 0 || d%time.Second != 0) {
		err = fmt.Errorf("%s: must be whole seconds", text)
	}
	*s = seconds(d / time.Second)
	return err
}

// workload is a service of compose, and how many of it there are.
type workload struct {
	service
	name     string
	replicas int
}

// component is the label of the workload: of worker-TYPE, worker.
func (w *workload) component() string {
	component, _, _ := strings.Cut(w.name, "-")
	return component
}

// people start these services of compose, for themselves. With Kubernetes: kubectl exec.
var people = map[string]bool{"client": true, "test-client": true}

var number = regexp.MustCompile(`-\d+$`)

// typeInName is what a type must be to stand in the name of an object of Kubernetes.
var typeInName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// typ returns the types of a worker as its command has them; "" for what is none.
func (s service) typ() string {
	if len(s.Command) < 2 || s.Command[0] != "worker" {
		return ""
	}
	return s.Command[1]
}

// read returns compose's workloads by name.
func read(compose []byte) (map[string]workload, error) {
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(compose, &file); err != nil {
		return nil, err
	}
	all := map[string]workload{}
	for name := range file.Services {
		if people[name] {
			continue
		}
		first := number.ReplaceAllString(name, "")
		s, there := file.Services[first]
		if !there && name == "worker-"+file.Services[name].typ() {
			first, s, there = name, file.Services[name], true // the number belongs to the type
		}
		if !there {
			return nil, fmt.Errorf("service %s: there is no service %s", name, first)
		}
		if typ := s.typ(); typ != file.Services[name].typ() || strings.HasPrefix(first, "worker-") && (first != "worker-"+typ || !typeInName.MatchString(typ)) {
			return nil, fmt.Errorf("service %s: %q: want worker TYPE, with the one type of its name, of a-z, 0-9 and -", name, file.Services[name].Command)
		}
		if s.StopGracePeriod == 0 || s.Healthcheck.Interval == 0 || s.Healthcheck.Timeout == 0 || s.Healthcheck.Retries == 0 {
			return nil, fmt.Errorf("service %s: want stop_grace_period, and interval, timeout and retries of its healthcheck", name)
		}
		all[first] = workload{s, first, all[first].replicas + 1}
	}
	return all, nil
}

// settings returns what a service is told, by the names of variables: --raft-address is TASKGRID_RAFT_ADDRESS.
func (s *service) settings() map[string]string {
	told := map[string]string{}
	maps.Copy(told, s.Environment)
	for i := 1; i < len(s.Command); i++ {
		if flag, is := strings.CutPrefix(s.Command[i-1], "--"); is {
			told["TASKGRID_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))] = s.Command[i]
		}
	}
	return told
}

// port is a port that a process listens on.
type port struct {
	name   string
	number int
}

// isMetrics tells whether it is for Prometheus, and not for the grid's own traffic.
func (p port) isMetrics() bool { return p.name == "metrics" }

// listens says which setting makes which port.
var listens = []struct{ port, setting string }{
	{"grpc", "TASKGRID_LISTEN"},
	{"raft", "TASKGRID_RAFT_ADDRESS"},
	{"http", "TASKGRID_HTTP"},
	{"metrics", "TASKGRID_METRICS_ADDRESS"},
}

// ports returns what a service listens on.
func (s *service) ports() ([]port, error) {
	var all []port
	told := s.settings()
	for _, l := range listens {
		address := told[l.setting]
		if address == "" {
			continue
		}
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.setting, err)
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.setting, err)
		}
		all = append(all, port{l.port, number})
	}
	return all, nil
}
