package journal

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// formatOf returns the format of the last entry with records in a node's log.
func formatOf(t *testing.T, n *node) byte {
	t.Helper()
	last, err := n.stores.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for ; last > 0; last-- {
		var l raft.Log
		if err := n.stores.Log.GetLog(last, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type == raft.LogCommand && l.Data[1] == kindRecords {
			return l.Data[0]
		}
	}
	t.Fatal("no entry with records")
	return 0
}

// TestANewFormatIsWrittenOnceAllReadIt upgrades three nodes, one by one, to a program that knows a second format.
func TestANewFormatIsWrittenOnceAllReadIt(t *testing.T) {
	peers := freePeers(t, 3)
	nodes, dirs := make([]*node, 3), make([]string, 3)
	begin := func(i int, format byte) {
		nodes[i].book = new(book)
		nodes[i].running = start(t, Config{Directory: dirs[i], ID: peers[i].ID, RaftAddress: peers[i].Address, Peers: peers, newestFormat: format}, nodes[i].book)
	}
	for i := range nodes {
		nodes[i], dirs[i] = new(node), t.TempDir()
		begin(i, 1)
	}
	insist(t, nodes, line("old"))
	for i := range nodes {
		if got := formatOf(t, leader(t, nodes)); got != 1 {
			t.Errorf("with %d of 3 upgraded the format is %d, want 1", i, got)
		}
		nodes[i].close()
		begin(i, 2)
		insist(t, nodes, line(fmt.Sprint("upgraded ", i)))
	}
	for i := range 200 {
		insist(t, nodes, line(fmt.Sprint("new ", i)))
		if formatOf(t, leader(t, nodes)) == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := formatOf(t, leader(t, nodes)); got != 2 {
		t.Fatalf("with all upgraded the format is %d, want 2", got)
	}
	gone := 0
	for nodes[gone] == leader(t, nodes) {
		gone++
	}
	nodes[gone].close()
	said := make(lines, 1)
	old := new(book)
	cfg := Config{Directory: dirs[gone], ID: peers[gone].ID, RaftAddress: peers[gone].Address, Peers: peers, newestFormat: 1}
	cfg.Logger = slog.New(slog.NewTextHandler(said, nil))
	j, err := Open(cfg, old)
	if err != nil {
		t.Fatal(err)
	}
	run(t, j)
	select {
	case <-said:
	case <-time.After(20 * time.Second):
		t.Error("a program that reads only the first format was not refused in words")
	}
	if got := old.all(); len(got) > 0 {
		t.Errorf("it applied %q", got)
	}
}

// lines hears of the log line that says that a program is too old.
type lines chan bool

func (l lines) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "start it with a newer version") {
		select {
		case l <- true:
		default:
		}
	}
	return len(p), nil
}
