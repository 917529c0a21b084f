package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"taskgrid/bench"
)

// writeReport prints the report in the format that was asked for.
func writeReport(cmd *cobra.Command, report bench.Report) error {
	r := newResult(cmd)
	if r.format != formatTable {
		return r.add(report)
	}
	_, err := io.WriteString(cmd.OutOrStdout(), report.Table())
	return err
}

// loadAverage is what else the machine does, as the kernel says it: "1.20 0.80 0.50" over 1, 5 and 15 minutes; "" where
// it does not.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// progress tells what is being measured: on a terminal in one line that changes, elsewhere not at all.
type progress struct {
	w     io.Writer
	began time.Time
}

const progressWidth = 30

func newProgress(w *os.File) *progress {
	p := &progress{w: io.Discard, began: time.Now()}
	if term.IsTerminal(int(w.Fd())) {
		p.w = w
	}
	return p
}

func (p *progress) tell(what string, done, all int) {
	full := progressWidth * done / all
	left := ""
	if done > 0 {
		rest := time.Since(p.began) / time.Duration(done) * time.Duration(all-done)
		left = ", " + rest.Round(time.Second).String() + " left"
	}
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s%s", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), what, left)
}

func (p *progress) end() { fmt.Fprint(p.w, "\r\x1b[K") }

// writeProfiles runs each phase once more while every process of the grid writes a CPU profile: FOLDER/PHASE-PROCESS.pprof.
func (l *lab) writeProfiles(ctx context.Context, phases []bench.Phase, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	for _, phase := range phases {
		var wg sync.WaitGroup
		errs := make(chan error, len(l.grid.profiles))
		for name, address := range l.grid.profiles {
			file := filepath.Join(folder, phase.Name+"-"+name+".pprof")
			wg.Go(func() { errs <- fetchProfile(ctx, address, max(1, int(l.duration.Seconds())), file) })
		}
		_, err := phase.Run(ctx)
		wg.Wait()
		close(errs)
		for e := range errs {
			if err == nil {
				err = e
			}
		}
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

// fetchProfile writes a CPU profile of so many seconds to a file.
func fetchProfile(ctx context.Context, address string, seconds int, path string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, resp.Body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}
