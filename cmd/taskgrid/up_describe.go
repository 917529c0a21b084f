package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// description is what `up -o json` prints when the grid is ready.
type description struct {
	Ready       bool           `json:"ready"`
	ReadyMS     int64          `json:"ready_ms"`
	Page        string         `json:"page"`
	Nameservice string         `json:"nameservice"`
	Dispatcher  string         `json:"dispatcher"`
	Monitoring  string         `json:"monitoring"`
	Data        string         `json:"data"`
	PIDs        map[string]int `json:"pids"`
}

// describe says where to look.
func (p *plan) describe(w io.Writer, pids map[string]int, took time.Duration) error {
	d := description{
		Ready: true, ReadyMS: took.Milliseconds(), Page: "http://" + p.reach(p.http) + "/", PIDs: pids, Data: p.data,
		Nameservice: p.reach(p.nameservice), Dispatcher: p.reach(p.dispatcher), Monitoring: p.reach(p.monitoring),
	}
	if p.json {
		return json.NewEncoder(w).Encode(d)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "TaskGrid is ready (%.1f s).\n\n", took.Seconds())
	fmt.Fprintf(&b, "  page          %s\n  dispatcher    %s\n  name service  %s\n  data          %s\n\n", d.Page, d.Dispatcher, d.Nameservice, d.Data)
	for _, c := range p.children() {
		fmt.Fprintf(&b, "  pid %-7d   %s\n", pids[c.name], c.name)
	}
	fmt.Fprintf(&b, "\nTry     %s submit reverse hello --wait%s\n", programName(), p.clientFlags())
	if pid, ok := pids["worker-hash-1"]; ok {
		fmt.Fprintf(&b, "Break   kill -9 %d        (worker-hash-1; it comes back)\n", pid)
	}
	b.WriteString("Stop    Ctrl-C\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// clientFlags are the flags that the client's verbs need to find this grid: none when the name service listens where
// they look for it anyway.
func (p *plan) clientFlags() string {
	if at := p.reach(p.nameservice); at != "127.0.0.1:50051" {
		return " --nameservice " + at
	}
	return ""
}

// programName is how the person started this program.
func programName() string {
	if strings.Contains(os.Args[0], "go-build") { // `go run` builds into a folder of that name
		return "go run ./cmd/taskgrid"
	}
	return os.Args[0]
}
