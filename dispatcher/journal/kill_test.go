package journal

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

// TestMain is also the child of TestKilledAtAnyWrite: a process that writes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("JOURNAL_CHILD"); dir != "" {
		if err := writeUntilKilled(dir, os.Getenv("JOURNAL_KILL")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const childProposers = 4

// writeUntilKilled keeps proposers busy, each with numbered lines, and says on stdout what was acknowledged. kill is
// "before 5", "after 5" (the fifth write to the disk), or "" to be killed from outside.
func writeUntilKilled(dir, kill string) error {
	sm := new(book)
	j, err := Open(quick(Config{Directory: dir, SnapshotBytes: 16 << 10}), sm)
	if err != nil {
		return err
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	when, number, _ := strings.Cut(kill, " ")
	limit, _ := strconv.Atoi(number)
	var mu sync.Mutex
	writes := 0
	at := func(moment string) {
		mu.Lock()
		defer mu.Unlock()
		if moment == "before" {
			writes++
		}
		if when == moment && writes >= limit {
			self.Kill()
			select {}
		}
	}
	j.guard.inject = func(string) faultKind { at("before"); return faultNone }
	count := j.guard.count
	j.guard.count = func(logs []*raft.Log) { at("after"); count(logs) }
	go func() { // until it is killed
		for l := range j.Leadership() {
			for p := range childProposers {
				if l.Leading {
					go proposeLines(j, p, linesOf(sm.all(), p))
				}
			}
		}
	}()
	return j.Run(context.Background())
}

// proposeLines writes lines of one proposer, one after the other, from number n.
func proposeLines(j *Journal, proposer, n int) {
	done := make(chan error, 1)
	for ; ; n++ {
		line := fmt.Sprintf("%d/%d", proposer, n)
		if j.Propose([][]byte{[]byte(line)}, func(_ []any, err error) { done <- err }) != nil || <-done != nil {
			return
		}
		fmt.Println(line)
	}
}

// linesOf returns how many lines of the proposer there are.
func linesOf(lines []string, proposer int) int {
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, fmt.Sprintf("%d/", proposer)) {
			n++
		}
	}
	return n
}

// TestKilledAtAnyWrite: a process is killed before and after each of its writes to the disk, from the first of the
// first start on, and in the middle of its work; all in the same directory. Every line that was acknowledged is there,
// once, in the order of its proposer.
func TestKilledAtAnyWrite(t *testing.T) {
	dir := t.TempDir()
	var kills []string
	for n := range 7 {
		kills = append(kills, fmt.Sprint("before ", n+1), fmt.Sprint("after ", n+1))
	}
	kills = append(kills, "before 40", "after 400", "")
	acknowledged := map[string]bool{}
	for _, kill := range kills {
		for _, line := range childOutput(t, dir, kill) {
			acknowledged[line] = true
		}
	}
	lines := reopened(t, dir)
	next := map[string]int{}
	for i, line := range lines {
		proposer, number, _ := strings.Cut(line, "/")
		if want := strconv.Itoa(next[proposer]); number != want {
			t.Fatalf("line %d is %q, want number %s of that proposer: lost, twice or out of order", i, line, want)
		}
		next[proposer]++
		delete(acknowledged, line)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged lines are lost, such as %v", len(acknowledged), acknowledged)
	}
	if len(lines) < 400 {
		t.Errorf("only %d lines in all: nothing was tried", len(lines))
	}
}

// childOutput runs a child until it is killed, and returns what it acknowledged.
func childOutput(t *testing.T, dir, kill string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "JOURNAL_CHILD="+dir, "JOURNAL_KILL="+kill)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer deadline.Stop()
	var lines []string
	for in := bufio.NewScanner(out); in.Scan(); {
		lines = append(lines, in.Text())
		if kill == "" && len(lines) == 500 {
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 || !deadline.Stop() {
		t.Fatalf("child with kill %q: %v, %s; want it killed", kill, err, stderr.Bytes())
	}
	return lines
}
