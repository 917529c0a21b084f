//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"taskgrid/tests/grid"
)

// preface is how HTTP/2 begins, with an empty SETTINGS frame.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// hostile are beginnings of connections that are no good; what follows is silence, or more without end, slowly or fast.
var hostile = []struct {
	name, begin string
	more        string        // again and again
	pause       time.Duration // before each
}{
	{name: "silence"},
	{name: "noise", begin: "\x16\xff\x00\x01\x80 nonsense \x7f\r\n\r\n\x00"},
	{name: "TLS hello", begin: "\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" + strings.Repeat("r", 32) + "\x00\x00\x04\x13\x01\x13\x02\x01\x00"},
	{name: "HTTP/1", begin: "POST /taskgrid.v1.Dispatcher/SubmitTasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"},
	{name: "HTTP/1, byte by byte", begin: "GET / HTTP/1.1\r\nX: ", more: "x", pause: 300 * time.Millisecond},
	{name: "HTTP/1 header without end", begin: "GET / HTTP/1.1\r\nX: ", more: strings.Repeat("x", 64<<10), pause: time.Millisecond},
	{name: "HTTP/2 preface, then silence", begin: preface},
	{name: "HTTP/2 frame of 16 MiB", begin: preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01", more: strings.Repeat("x", 64<<10), pause: time.Millisecond},
	{name: "HTTP/2 frame, byte by byte", begin: preface + "\x00\x40\x00\x01\x04\x00\x00\x00\x01", more: "x", pause: 300 * time.Millisecond},
	{name: "HTTP/2 headers without end", begin: preface + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x00",
		more: strings.Repeat("\x00\x40\x00\x09\x00\x00\x00\x00\x01"+strings.Repeat("\x00", 1<<14), 4), pause: time.Millisecond},
	{name: "a raft message of 2 GiB", begin: "\x00\x8a\xa7Entries\xdd\x7f\xff\xff\xff", more: strings.Repeat("x", 64<<10), pause: time.Millisecond},
}

// connectionsOfAKind is how many of each there are at each port, at the same time.
const connectionsOfAKind = 2

// TestHostileConnectionsHarmNobody opens many bad connections to every port at once. Meanwhile tasks are served without
// delay; each bad connection is closed by the server; and then each process has as many goroutines and open files as
// before.
func TestHostileConnectionsHarmNobody(t *testing.T) {
	g := grid.New(t)
	ports := grid.FreePorts(t, 9)
	raft := ports[8]
	metrics := map[string]string{}
	flags := func(process string) []string {
		metrics[process] = ports[0]
		f := []string{"--metrics-address", ports[0], "--admin-address", ports[1]}
		ports = ports[2:]
		return f
	}
	ns := g.Nameservice(flags("nameservice")...)
	disp := g.Dispatcher(append(flags("dispatcher"), "--raft-address", raft)...)
	worker := g.Worker("w1", "reverse", flags("w1")...)
	mon := g.Monitoring(flags("monitoring")...)
	g.Connected("w1")
	processes := map[string]*grid.Process{"nameservice": ns, "dispatcher": disp, "w1": worker, "monitoring": mon}
	targets := map[string][]string{}
	for name, p := range processes {
		targets[name] = listening(g, p, 3)
	}
	targets["dispatcher"] = append(targets["dispatcher"], raft)

	c := g.Client()
	serve := func() time.Duration {
		t.Helper()
		began := time.Now()
		ids := submit(t, c, 1, "reverse", always("hello"))
		if task := waitAll(g.Context(), t, c, ids)[ids[0]]; task.GetResult() != "olleh" {
			t.Errorf("got %v", task)
		}
		return time.Since(began)
	}
	alone := sample(serve, 2*time.Second)
	before := map[string]usage{}
	for name, p := range processes {
		before[name] = usageOf(t, p, metrics[name])
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*grid.Patience)
	defer cancel()
	var attack sync.WaitGroup
	for name, addresses := range targets {
		for _, address := range addresses {
			for _, kind := range hostile {
				for range connectionsOfAKind {
					attack.Go(func() {
						if err := assault(ctx, address, kind.begin, kind.more, kind.pause); err != nil {
							t.Errorf("%s at %s of %s: %v", kind.name, address, name, err)
						}
					})
				}
			}
		}
	}
	over := make(chan struct{})
	go func() { attack.Wait(); close(over) }()
	during := sample(serve, 8*time.Second)
	<-over
	after := sample(serve, time.Second)
	t.Logf("submit to result, p50 and p99: before %v %v, during %v %v, after %v %v",
		alone(0.5), alone(0.99), during(0.5), during(0.99), after(0.5), after(0.99))
	if limit := 10*alone(0.5) + 100*time.Millisecond; during(0.5) > limit {
		t.Errorf("during the attack half of the tasks took more than %v, want at most %v", during(0.5), limit)
	}
	for name, p := range processes {
		if p.Gone() {
			t.Errorf("%s has ended", name)
			continue
		}
		g.Eventually(name+" is as it was", func(context.Context) error {
			if now := usageOf(t, p, metrics[name]); now.files > before[name].files+4 || now.goroutines > before[name].goroutines+10 {
				return fmt.Errorf("before %+v, now %+v", before[name], now)
			}
			return nil
		})
	}
}

// assault opens a bad connection, goes on with it, and returns nil when the server has closed it.
func assault(ctx context.Context, address, begin, more string, pause time.Duration) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	closed := make(chan struct{})
	go func() {
		io.Copy(io.Discard, conn)
		close(closed)
	}()
	if _, err := io.WriteString(conn, begin); err != nil {
		return nil
	}
	for more != "" {
		select {
		case <-closed:
			more = ""
		case <-time.After(pause):
			if _, err := io.WriteString(conn, more); err != nil {
				more = ""
			}
		}
	}
	<-closed
	if ctx.Err() != nil {
		return errors.New("the server did not close it")
	}
	return nil
}

// sample calls do for a while, without haste, and returns the quantiles of how long it took.
func sample(do func() time.Duration, length time.Duration) func(q float64) time.Duration {
	var took []time.Duration
	for began := time.Now(); time.Since(began) < length; time.Sleep(100 * time.Millisecond) {
		took = append(took, do())
	}
	slices.Sort(took)
	return func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Microsecond) }
}

// usage is what a process has open.
type usage struct{ files, goroutines int }

func usageOf(t *testing.T, p *grid.Process, metrics string) (u usage) {
	t.Helper()
	if runtime.GOOS == "linux" {
		files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.Pid()), "fd"))
		if err != nil {
			t.Fatal(err)
		}
		u.files = len(files)
	}
	resp, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)`).FindSubmatch(body)
	if found == nil {
		t.Fatalf("no go_goroutines in %s", body)
	}
	u.goroutines, _ = strconv.Atoi(string(found[1]))
	return u
}

// listening waits until a process has said that it listens at n addresses or more, and returns them.
func listening(g *grid.Grid, p *grid.Process, n int) (addresses []string) {
	said := regexp.MustCompile(`listening.*"address":"([^"]+)"`)
	g.Eventually("listening", func(context.Context) error {
		addresses = nil
		for _, m := range said.FindAllStringSubmatch(p.Log(), -1) {
			addresses = append(addresses, m[1])
		}
		if len(addresses) < n {
			return fmt.Errorf("it says so of %v", addresses)
		}
		return nil
	})
	return addresses
}
