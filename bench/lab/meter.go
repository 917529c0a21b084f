package lab

import (
	"os"
	"strings"

	"taskgrid/bench"
	"taskgrid/bench/usage"
)

// meter reads what the processes of a grid use between the two edges of a window.
type meter struct {
	pids   map[string][]int // by what the figures are called: all workers together are "worker"
	before map[string]usage.Usage
	used   map[string]usage.Usage // RSS: at the end
}

func newMeter(pids map[string][]int) *meter {
	return &meter{pids: pids, before: map[string]usage.Usage{}, used: map[string]usage.Usage{}}
}

// meter returns a meter of the grid's processes and of this one, the client. A grid that the lab has not started gets one
// that reads nothing.
func (g *Grid) meter() *meter {
	m := newMeter(map[string][]int{})
	for name, p := range g.processes {
		kind, _, _ := strings.Cut(name, "-")
		m.pids[kind] = append(m.pids[kind], p.pid())
	}
	if len(m.pids) > 0 {
		m.pids["client"] = []int{os.Getpid()}
	}
	return m
}

func (m *meter) edge(end bool) {
	for kind, pids := range m.pids {
		var now usage.Usage
		for _, pid := range pids {
			u, err := usage.Read(pid)
			if err != nil {
				continue // this platform does not tell: the figure is left out
			}
			now = usage.Usage{CPU: now.CPU + u.CPU, Written: now.Written + u.Written, RSS: now.RSS + u.RSS}
		}
		if !end {
			m.before[kind] = now
			continue
		}
		b := m.before[kind]
		m.used[kind] = usage.Usage{CPU: now.CPU - b.CPU, Written: now.Written - b.Written, RSS: now.RSS}
	}
}

// add adds to the figures what one thing cost, of which so many were done.
func (m *meter) add(figures bench.Figures, count float64) {
	for kind, u := range m.used {
		if u.RSS == 0 {
			continue
		}
		figures["cpu_us."+kind] = float64(u.CPU.Microseconds()) / count
		figures["rss_mib."+kind] = float64(u.RSS) / (1 << 20)
		if u.Written > 0 {
			figures["written_bytes."+kind] = float64(u.Written) / count
		}
	}
}

// cpu returns what all of them used together, in microseconds.
func (m *meter) cpu() (us float64) {
	for _, u := range m.used {
		us += float64(u.CPU.Microseconds())
	}
	return us
}
