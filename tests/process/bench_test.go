//go:build unix

package process

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"taskgrid/bench"
	"taskgrid/tests/grid"
)

// benched runs `taskgrid bench -o json` with short measurements and returns the figures of each phase.
func benched(t *testing.T, g *grid.Grid, args ...string) map[string]map[string]bench.Summary {
	t.Helper()
	out, stderr, code := g.Run(append([]string{"bench", "-o", "json", "--rounds", "2", "--duration", "50ms"}, args...)...)
	if code != 0 {
		t.Fatalf("bench %v: exit code %d: %s", args, code, stderr)
	}
	var report bench.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("bench %v: %v in %s", args, err, out)
	}
	phases := map[string]map[string]bench.Summary{}
	for _, p := range report.Phases {
		phases[p.Name] = p.Figures
	}
	return phases
}

// TestBenchMeasuresAGridOfItsOwn runs the usual phases, each for a moment, and wants figures that can be true.
func TestBenchMeasuresAGridOfItsOwn(t *testing.T) {
	g := grid.New(t)
	data := t.TempDir()
	phases := benched(t, g, "--data", data, "--phases", "one,closed-64,unary-64", "--profile", filepath.Join(data, "profiles"))
	for _, phase := range []string{"one", "closed-64", "unary-64"} {
		f := phases[phase]
		rate, ratio, echo := f[bench.Rate], f[bench.Ratio], f[bench.Echo]
		if rate.Median < 5 || echo.Median < 100 || ratio.Median <= 0 || ratio.Median > 20 || len(ratio.Values) != 2 {
			t.Errorf("%s: rate %v, echo %v, ratio %v", phase, rate, echo, ratio)
		}
		if f[bench.P50].Median <= 0 || f[bench.P50].Median > f[bench.P99].Median {
			t.Errorf("%s: p50 %v, p99 %v", phase, f[bench.P50], f[bench.P99])
		}
		if runtime.GOOS == "linux" && f["rss_mib.dispatcher"].Median < 5 {
			t.Errorf("%s: memory of the dispatcher: %v MiB", phase, f["rss_mib.dispatcher"])
		}
	}
	// On a busy machine a raw call may well take longer than a task did a moment later: what it is divided by is looked at.
	one := phases["one"]
	for i, r := range one["p50_ratio"].Values {
		if p50, raw := one[bench.P50].Values[i], one["raw_p50_us"].Values[i]; raw <= 0 || math.Abs(r*raw/p50-1) > 0.01 {
			t.Errorf("a task takes %v of a raw call: %v and %v µs", r, p50, raw)
		}
	}
	for _, process := range []string{"dispatcher", "nameservice", "worker-reverse"} {
		file := filepath.Join(data, "profiles", "closed-64-"+process+".pprof")
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("profile: %v", err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(data, "taskgrid-bench-*")); len(left) != 0 {
		t.Errorf("bench left %v behind", left)
	}
}

// TestBenchMeasuresARunningGrid names the dispatcher, whose processes are not the bench's to look into.
func TestBenchMeasuresARunningGrid(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("reverse-1", "reverse")
	g.Connected("reverse-1")
	f := benched(t, g, "--dispatcher", g.Disp, "--phases", "closed-64")["closed-64"]
	if f[bench.Ratio].Median <= 0 {
		t.Errorf("figures %v, want a ratio", f)
	}
	for name := range f {
		if strings.HasPrefix(name, "rss") || strings.HasPrefix(name, "cpu") {
			t.Errorf("%s of processes that are not the bench's", name)
		}
	}
}

// TestBenchMeasuresWhatNeedsGridsOfItsOwn runs the long phases with few tasks.
func TestBenchMeasuresWhatNeedsGridsOfItsOwn(t *testing.T) {
	g := grid.New(t)
	phases := benched(t, g, "--rounds", "1", "--duration", "10ms", "--phases", "mixed,bound-64,bound-unary,replicas,heartbeat,lookup,backlog,disk", "--backlog", "3000", "--finished", "2000")
	for phase, figures := range map[string][]string{
		"mixed": {bench.Ratio}, "bound-64": {bench.Ratio}, "bound-unary": {bench.Ratio},
		"replicas": {bench.Ratio, "replicas_ratio"}, "heartbeat": {bench.Ratio}, "lookup": {bench.Ratio},
		"backlog": {"submit_ratio", "drain_ratio", "backlog_ratio", "queued_ratio", "restart_s", "directory_mib"},
		"disk":    {"finish_rate", "directory_end_mib"},
	} {
		for _, name := range figures {
			if s, ok := phases[phase][name]; !ok || s.Median <= 0 || s.Median > 1e6 {
				t.Errorf("%s: %s is %v, want more than 0", phase, name, s)
			}
		}
	}
	if !writesAreCounted(t) {
		return
	}
	if written := phases["disk"]["written_per_finished_bytes"].Median; written < 32 || written > 100_000 {
		t.Errorf("%v bytes were written for each task of 32 bytes", written)
	}
}

// writesAreCounted tells whether the system says how much a process has written to the disk. Linux does, but not of a
// file system in memory, where some keep temporary files.
func writesAreCounted(t *testing.T) bool {
	before, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return false
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	written := regexp.MustCompile(`(?m)^write_bytes: \d+$`)
	return !bytes.Equal(written.Find(before), written.Find(after))
}

func TestBenchRefusesWrongFlagsInWords(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	file := filepath.Join(t.TempDir(), "file") // where a folder should be
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--phases closed":                           `phases: "closed": must be all, or some of one,closed-64,`,
		"--rounds 0":                                "rounds: 0: must be 1 to 1000",
		"--duration 1ms":                            "duration: 1ms: must be 10ms to 1h",
		"--dispatcher here":                         `dispatcher: "here": must be host:port`,
		"--dispatcher 127.0.0.1:1 --profile x":      "with --dispatcher the processes are not ours to ask",
		"--data /does/not/exist":                    "data: ",
		"--data " + file:                            "data: mkdir",
		"--profile " + file:                         "profile: mkdir",
		"--dispatcher 127.0.0.1:1 --phases disk":    "disk: needs a grid of its own: leave --dispatcher out",
		"--backlog 0":                               "backlog: 0: must be 1 to 100000000",
		"--finished 9":                              "finished: 9: must be 10 to 100000000",
		"--dispatcher 127.0.0.1:1 --phases backlog": "backlog: needs a grid of its own: leave --dispatcher out",
		"--output xml":                              `output: "xml": must be table, json, jsonl`,
	} {
		if _, stderr, code := g.Run(append([]string{"bench"}, strings.Fields(args)...)...); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("bench %s: exit code %d, %q; want 2 and %q in it", args, code, stderr, want)
		}
	}
}

// TestBenchOfAGridThatCannotBeMeasuredSaysWhy: nobody is there, or no worker for the tasks that it measures with.
func TestBenchOfAGridThatCannotBeMeasuredSaysWhy(t *testing.T) {
	t.Parallel()
	g := grid.New(t)
	for _, c := range []struct {
		dispatcher string
		code       int
		want       string
	}{
		{"127.0.0.1:1", 3, "grid not reachable: dispatcher 127.0.0.1:1: connection refused"},
		{g.Disp, 1, `the grid was not ready for reverse within 10s: type: "reverse": no worker has ever registered it`},
	} {
		if c.dispatcher == g.Disp {
			g.Nameservice()
			g.Dispatcher()
			g.Connected() // it answers
		}
		out, stderr, code := g.Run("bench", "--dispatcher", c.dispatcher, "--phases", "one", "--rounds", "1", "--duration", "20ms")
		if code != c.code || !strings.Contains(stderr, c.want) || out != "" {
			t.Errorf("bench --dispatcher %s: exit code %d, %q and %q; want %d and %q in it", c.dispatcher, code, stderr, out, c.code, c.want)
		}
	}
}
