package main

import (
	"fmt"
	"strings"

	"taskgrid/bench"
)

// table returns the results as a table in Markdown: a row for each peer.
func table(report bench.Report) string {
	rows := rowsOf(report)
	var grid row
	for _, r := range rows {
		if r.name == "TaskGrid" {
			grid = r
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds of about %s, %s, load average before: %s\n\n", report.Rounds, report.Duration, report.Began.Format("2006-01-02 15:04"), report.Load)
	b.WriteString("| | 64 in flight: tasks/s | ÷ raw gRPC | backlog: tasks/s | ÷ raw gRPC | TaskGrid is faster (64 / backlog) |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %s | %.2f | ", r.name, bench.Short(r.closed.rate), r.closed.ratio, bench.Short(r.backlog.rate), r.backlog.ratio)
		if r.name == "TaskGrid" || grid.name == "" {
			b.WriteString("|\n")
			continue
		}
		fmt.Fprintf(&b, "%.1f × / %.1f × |\n", grid.closed.ratio/r.closed.ratio, grid.backlog.ratio/r.backlog.ratio)
	}
	return b.String()
}

// row is what was found of one peer.
type row struct {
	name            string
	closed, backlog measured
}

type measured struct{ rate, ratio float64 }

func rowsOf(report bench.Report) []row {
	var rows []row
	at := map[string]int{}
	for _, phase := range report.Phases {
		name, what, _ := strings.Cut(phase.Name, ", ")
		i, ok := at[name]
		if !ok {
			i = len(rows)
			at[name], rows = i, append(rows, row{name: name})
		}
		m := measured{phase.Figures[bench.Rate].Median, phase.Figures[bench.Ratio].Median}
		if what == "backlog" {
			rows[i].backlog = m
		} else {
			rows[i].closed = m
		}
	}
	return rows
}

// chart returns the ratios as bars. The colours are readable on white and on black.
func chart(report bench.Report) string {
	const left, width, bar, gap = 190, 420, 14, 14
	rows := rowsOf(report)
	longest := 1.0
	for _, r := range rows {
		longest = max(longest, r.closed.ratio, r.backlog.ratio)
	}
	scale := width / longest
	height := 60 + len(rows)*(2*bar+gap)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#777">`+"\n", left+width+70, height)
	b.WriteString(`<text x="0" y="14" font-size="13">Tasks a second ÷ calls a second of a raw gRPC echo</text>` + "\n")
	fmt.Fprintf(&b, `<rect x="%d" y="24" width="10" height="10" fill="#2a7de1"/><text x="%d" y="33">64 in flight</text>`+"\n", left, left+16)
	fmt.Fprintf(&b, `<rect x="%d" y="24" width="10" height="10" fill="#e08a1e"/><text x="%d" y="33">backlog</text>`+"\n", left+110, left+126)
	y := 46
	for _, r := range rows {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, y+bar+4, r.name)
		for i, m := range []measured{r.closed, r.backlog} {
			at := y + i*bar
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="11">%.2f</text>`+"\n",
				left, at, max(1, m.ratio*scale), bar-2, []string{"#2a7de1", "#e08a1e"}[i], left+m.ratio*scale+5, at+bar-4, m.ratio)
		}
		y += 2*bar + gap
	}
	fmt.Fprintf(&b, `<line x1="%.1f" y1="42" x2="%.1f" y2="%d" stroke="#999" stroke-dasharray="3 3"/>`+"\n", left+scale, left+scale, height-10)
	b.WriteString("</svg>\n")
	return b.String()
}
