package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"taskgrid/internal/process"
	taskgridv1 "taskgrid/proto/taskgrid/v1"
)

// planOf returns the plan of `taskgrid up ARGS…`.
func planOf(args ...string) (*plan, error) {
	root := newRoot()
	cmd, flags, err := root.Find(append([]string{"up"}, args...))
	if err != nil {
		return nil, err
	}
	if err := cmd.ParseFlags(flags); err != nil {
		return nil, err
	}
	get := func(name string) string { return cmd.Flags().Lookup(name).Value.String() }
	o := upOptions{data: get("data"), bind: get("bind"), output: get("output")}
	o.ephemeral, _ = cmd.Flags().GetBool("ephemeral")
	o.verbose, _ = cmd.Flags().GetBool("verbose")
	o.client, _ = cmd.Flags().GetBool("client")
	o.grace, _ = cmd.Flags().GetDuration("grace")
	o.workers, _ = cmd.Flags().GetStringToInt("workers")
	for name, port := range map[string]*int{"nameservice-port": &o.nameservicePort, "dispatcher-port": &o.dispatcherPort, "monitoring-port": &o.monitoringPort, "http-port": &o.httpPort} {
		*port, _ = cmd.Flags().GetInt(name)
	}
	return newPlan(cmd, o)
}

func TestUpStartsOneWorkerPerTypeUnlessAskedOtherwise(t *testing.T) {
	p, err := planOf("--workers", "hash=3,wait=0", "--client")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range p.children() {
		names = append(names, c.name)
	}
	want := []string{"nameservice", "dispatcher", "worker-hash-1", "worker-hash-2", "worker-hash-3", "worker-reverse-1", "worker-sum-1", "worker-upper-1", "monitoring", "test-client"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("up --workers hash=3,wait=0 --client starts (-want +got):\n%s", diff)
	}
}

func TestEveryChildEndsWithUpAndLogsAtItsLevel(t *testing.T) {
	for args, level := range map[string]string{"": "warn", "--verbose": "info", "--log-level=error": "error"} {
		p, err := planOf(strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.children() {
			line := strings.Join(c.args, " ")
			if !strings.Contains(line, "--until-stdin-closes") || !strings.Contains(line, "--log-level "+level) {
				t.Errorf("up %s starts %q, want --until-stdin-closes and --log-level %s in it", args, line, level)
			}
		}
	}
}

func TestUpRefusesWrongFlagsInWords(t *testing.T) {
	for args, want := range map[string]string{
		"--workers=fax=1":          `workers: "fax": unknown task type; the known ones are hash, `,
		"--workers=hash=-1":        "workers: hash=-1: must be between 0 and 100",
		"--workers=hash=101":       "workers: hash=101: must be between 0 and 100",
		"--grace=-1s":              "grace: -1s: must not be negative",
		"--bind=localhost":         `bind: "localhost": must be an IP address`,
		"--http-port=70000":        "http-port: 70000: must be between 0 and 65535",
		"--output=xml":             `output: "xml": must be table, json or jsonl`,
		"--ephemeral --data=x":     `ephemeral: data: "x": give one of the two`,
		"--log-level=loud":         `log-level: "loud": must be`,
		"--workers=hash=3=4,sum=x": "invalid argument",
	} {
		if _, err := planOf(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("up %s: error %v, want %q in it", args, err, want)
		}
	}
}

func TestATakenPortMovesAndThatIsSaid(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	taken := lis.Addr().(*net.TCPAddr).Port
	p := &plan{bind: "127.0.0.1", host: "127.0.0.1", nameservice: taken}
	var said bytes.Buffer
	if err := p.choosePorts(&said); err != nil {
		t.Fatal(err)
	}
	if p.nameservice == taken || (p.nameservice-taken)%portStep != 0 {
		t.Errorf("with port %d taken the name service got port %d, want one a multiple of %d above", taken, p.nameservice, portStep)
	}
	if want := fmt.Sprintf("port %d is taken: --nameservice-port is %d this time", taken, p.nameservice); !strings.Contains(said.String(), want) {
		t.Errorf("said %q, want %q in it", said.String(), want)
	}
	if want := fmt.Sprintf(" --nameservice 127.0.0.1:%d", p.nameservice); p.clientFlags() != want {
		t.Errorf("the example line has %q, want %q", p.clientFlags(), want)
	}
	seen := map[int]bool{p.nameservice: true, p.dispatcher: true, p.monitoring: true, p.http: true}
	if len(seen) != 4 {
		t.Errorf("two of the ports are the same: %+v", p)
	}
}

func TestAnyPortIsNoneOfThoseChosen(t *testing.T) {
	chosen := map[int]bool{}
	for port := 1; port < 65536; port++ {
		chosen[port] = port%8 != 1 // most of those that the system may give
	}
	port, err := freePort("127.0.0.1", 0, chosen)
	if err != nil || chosen[port] {
		t.Errorf("port 0 became %d, %v; want one that was not chosen", port, err)
	}
}

func TestAnAddressOfAnotherMachineIsRefused(t *testing.T) {
	p := &plan{bind: "192.0.2.254"} // an address set aside for documentation
	if err := p.choosePorts(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "nameservice-port") {
		t.Errorf("ports at %s: error %v, want one that names the flag", p.bind, err)
	}
}

// lockInAnotherProcess makes this test program, as another process, try to lock a folder, and returns what it says.
func lockInAnotherProcess(t *testing.T, folder string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockHelper$")
	cmd.Env = append(os.Environ(), "LOCK_FOLDER="+folder, "GORACE=atexit_sleep_ms=0") // the race detector need not wait a second at the end
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// TestLockHelper is no test: lockInAnotherProcess runs it.
func TestLockHelper(t *testing.T) {
	folder := os.Getenv("LOCK_FOLDER")
	if folder == "" {
		t.Skip("plays the other process of TestASecondUpOnTheSameDataIsRefused")
	}
	if _, err := lockFolder(folder); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("locked")
}

func TestASecondUpOnTheSameDataIsRefused(t *testing.T) {
	folder := t.TempDir()
	unlock, err := lockFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("data: %s is in use by another taskgrid up (pid %d)", folder, os.Getpid())
	if said := lockInAnotherProcess(t, folder); !strings.Contains(said, want) {
		t.Errorf("while we hold the lock another process says %q, want %q in it", said, want)
	}
	unlock()
	if said := lockInAnotherProcess(t, folder); !strings.Contains(said, "locked") {
		t.Errorf("after we let go of the lock another process says %q, want %q in it", said, "locked")
	}
}

func TestAnEphemeralFolderIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	p := &plan{}
	release, err := p.openData(upOptions{ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.data, "up.lock")); err != nil {
		t.Errorf("the folder in use: %v", err)
	}
	release()
	if _, err := os.Stat(p.data); !os.IsNotExist(err) {
		t.Errorf("after the end the folder %s: error %v, want that it does not exist", p.data, err)
	}
}

func TestOutputComesOutInWholeLinesWithTheNameBefore(t *testing.T) {
	var out bytes.Buffer
	p := &prefixed{lines: &lines{w: &out}, prefix: "worker-hash-1"}
	for _, piece := range []string{"one\ntw", "o\r\n\nthree", strings.Repeat("x", maxLine)} {
		fmt.Fprint(p, piece)
	}
	p.flush()
	want := []string{"one", "two", "three" + strings.Repeat("x", maxLine-5), "xxxxx"}
	var got []string
	for line := range strings.Lines(out.String()) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " | ")
		if strings.TrimSpace(name) != "worker-hash-1" {
			t.Errorf("line %.40q does not begin with the name", line)
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%.500s", diff)
	}
	if p.last != "xxxxx" {
		t.Errorf("last line %.40q, want %q", p.last, "xxxxx")
	}
}

func TestATypeIsMissingUntilAnActiveWorkerIsConnected(t *testing.T) {
	link := func(state taskgridv1.WorkerState, connected bool, types ...string) *taskgridv1.WorkerLink {
		return &taskgridv1.WorkerLink{Worker: &taskgridv1.Worker{Types: types, State: state}, Connected: connected}
	}
	links := []*taskgridv1.WorkerLink{
		link(taskgridv1.WorkerState_WORKER_STATE_ACTIVE, true, "hash", "sum"),
		link(taskgridv1.WorkerState_WORKER_STATE_ACTIVE, false, "upper"),
		link(taskgridv1.WorkerState_WORKER_STATE_UNHEALTHY, true, "wait"),
	}
	got := missingTypes([]string{"hash", "reverse", "sum", "upper", "wait"}, links)
	if diff := cmp.Diff([]string{"reverse", "upper", "wait"}, got); diff != "" {
		t.Errorf("missing types (-want +got):\n%s", diff)
	}
}

// TestASignalThatComesTwiceAtOnceIsNoSecondCtrlC: timeout(1) sends it to the process and to its group.
func TestASignalThatComesTwiceAtOnceIsNoSecondCtrlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		gentle, hard := 0, 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			obey(signals, io.Discard, time.Second, func() { gentle++ }, func() { hard++ })
		}()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGTERM
		time.Sleep(process.SameSignal - 1)
		signals <- syscall.SIGTERM
		synctest.Wait()
		if gentle != 1 || hard != 0 {
			t.Errorf("three signals within %v: told to stop %d times, and at once %d times; want 1 and 0", process.SameSignal, gentle, hard)
		}
		time.Sleep(1 * time.Nanosecond)
		signals <- syscall.SIGTERM
		if <-done; hard != 1 {
			t.Errorf("another one after %v: told to stop at once %d times, want 1", process.SameSignal, hard)
		}
	})
}
