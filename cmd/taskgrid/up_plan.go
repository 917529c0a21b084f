package main

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/workers"
)

// maxWorkersPerType bounds --workers: each is a process of its own.
const maxWorkersPerType = 100

// plan is what `up` starts, and where.
type plan struct {
	bind      string // where to listen
	host      string // under which address that is reached
	data      string
	perType   map[string]int // worker processes, 0 left out
	client    bool
	grace     time.Duration
	logLevel  string
	logFormat string
	json      bool

	// Ports: as asked for by the flags, until choosePorts has found free ones.
	nameservice, dispatcher, monitoring, http int
}

// newPlan checks the flags. The error names flag, value and rule.
func newPlan(cmd *cobra.Command, o upOptions) (*plan, error) {
	p := &plan{
		bind: o.bind, client: o.client, grace: o.grace, json: o.output != "table", perType: map[string]int{}, logLevel: "warn",
		nameservice: o.nameservicePort, dispatcher: o.dispatcherPort, monitoring: o.monitoringPort, http: o.httpPort,
	}
	if !slices.Contains([]string{"table", "json", "jsonl"}, o.output) {
		return nil, fmt.Errorf("output: %q: must be table, json or jsonl", o.output)
	}
	if o.ephemeral && cmd.Flags().Changed("data") {
		return nil, fmt.Errorf("ephemeral: data: %q: give one of the two", o.data)
	}
	if o.grace < 0 {
		return nil, fmt.Errorf("grace: %v: must not be negative", o.grace)
	}
	if net.ParseIP(o.bind) == nil {
		return nil, fmt.Errorf("bind: %q: must be an IP address, such as 127.0.0.1 or 0.0.0.0", o.bind)
	}
	for flag, port := range map[string]int{"nameservice-port": p.nameservice, "dispatcher-port": p.dispatcher, "monitoring-port": p.monitoring, "http-port": p.http} {
		if port < 0 || port > 65535 {
			return nil, fmt.Errorf("%s: %d: must be between 0 and 65535", flag, port)
		}
	}
	for _, name := range workers.Names() {
		p.perType[name] = 1
	}
	for _, name := range slices.Sorted(maps.Keys(o.workers)) {
		n := o.workers[name]
		if _, known := p.perType[name]; !known {
			return nil, fmt.Errorf("workers: %q: unknown task type; the known ones are %s", name, strings.Join(workers.Names(), ", "))
		}
		if n < 0 || n > maxWorkersPerType {
			return nil, fmt.Errorf("workers: %s=%d: must be between 0 and %d", name, n, maxWorkersPerType)
		}
		p.perType[name] = n
	}
	p.host = hostOf(p.bind)
	maps.DeleteFunc(p.perType, func(_ string, n int) bool { return n == 0 })

	if o.verbose {
		p.logLevel = "info"
	}
	if cmd.Flags().Changed("log-level") {
		p.logLevel, _ = cmd.Flags().GetString("log-level")
	}
	p.logFormat, _ = cmd.Flags().GetString("log-format")
	if _, err := newLogger(cmd); err != nil {
		return nil, err
	}
	return p, nil
}

// types returns the types that get a worker, sorted.
func (p *plan) types() []string { return slices.Sorted(maps.Keys(p.perType)) }

// listen is an address to listen at.
func (p *plan) listen(port int) string { return net.JoinHostPort(p.bind, strconv.Itoa(port)) }

// reach is the address at which what listens at the port is reached, also from outside if it listens there.
func (p *plan) reach(port int) string { return net.JoinHostPort(p.host, strconv.Itoa(port)) }

// hostOf returns the address under which others reach what listens at bind. For 0.0.0.0 and :: it is this machine's
// address on the way out, so that what the processes announce at the name service is of use to other machines.
func hostOf(bind string) string {
	if !net.ParseIP(bind).IsUnspecified() {
		return bind
	}
	conn, err := net.Dial("udp", "192.0.2.1:9") // sends nothing; the address is set aside for documentation
	if err != nil {
		return "127.0.0.1" // no network
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String()
}

// children returns the processes, in the order in which they are started and shown.
func (p *plan) children() []child {
	nameservice := p.reach(p.nameservice)
	children := []child{
		{name: "nameservice", stage: stageNameservice,
			args: []string{"nameservice", "--listen", p.listen(p.nameservice)}},
		{name: "dispatcher", stage: stageDispatcher,
			args: []string{"dispatcher", "--listen", p.listen(p.dispatcher), "--nameservice", nameservice, "--data", filepath.Join(p.data, "dispatcher")}},
	}
	for _, taskType := range p.types() {
		for i := range p.perType[taskType] {
			id := fmt.Sprintf("%s-%d", taskType, i+1)
			children = append(children, child{name: "worker-" + id, stage: stageWorkers,
				args: []string{"worker", taskType, "--id", id, "--listen", p.listen(0), "--nameservice", nameservice}})
		}
	}
	children = append(children, child{name: "monitoring", stage: stageDispatcher,
		args: []string{"monitoring", "--listen", p.listen(p.monitoring), "--http", p.listen(p.http), "--nameservice", nameservice}})
	if p.client {
		children = append(children, child{name: "test-client", stage: stageClient, mayFinish: true,
			args: []string{"load", "--nameservice", nameservice}})
	}
	for i := range children {
		children[i].args = append(children[i].args, "--"+untilStdinFlag, "--log-level", p.logLevel, "--log-format", p.logFormat)
	}
	return children
}
