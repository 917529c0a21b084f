package journal

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

func newTestLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestThreeNodesOverTCP: real files and connections; one node goes and comes back.
func TestThreeNodesOverTCP(t *testing.T) {
	var peers []Peer
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, Peer{ID: fmt.Sprint("d", i+1), Address: l.Addr().String()})
		l.Close()
	}
	nodes := make([]*node, 3)
	dirs := make([]string, 3)
	begin := func(i int) {
		nodes[i].book = new(book)
		nodes[i].running = start(t, Config{Directory: dirs[i], ID: peers[i].ID, RaftAddress: peers[i].Address, Peers: peers}, nodes[i].book)
	}
	for i := range nodes {
		nodes[i], dirs[i] = new(node), t.TempDir()
		begin(i)
	}
	l := leader(t, nodes)
	if _, err := l.write("one"); err != nil {
		t.Fatal(err)
	}
	if err := l.VerifyLeader(t.Context()); err != nil {
		t.Error(err)
	}
	gone := 0
	for nodes[gone] != l {
		gone++
	}
	l.close()
	next := leader(t, append(nodes[:gone:gone], nodes[gone+1:]...))
	if _, err := next.write("two"); err != nil {
		t.Fatal(err)
	}
	begin(gone)
	if err := next.SnapshotNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if len(nodes[gone].book.all()) == 2 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := strings.Join(nodes[gone].book.all(), " "); got != "one two" {
		t.Errorf("the node that came back has %q, want one two", got)
	}
	s := nodes[gone].Status()
	if s.LeaderID != next.Status().ID || s.State != "follower" || len(s.Peers) != 3 || !s.Peers[0].Voter {
		t.Errorf("its Status = %+v", s)
	}
}

func TestHalfAConfigurationIsRefused(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Directory: "x"}, "no id"},
		{Config{ID: "d1"}, "no data directory"},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:1", Peers: []Peer{{"d2", "h:2"}}}, `do not include this node, "d1"`},
		{Config{ID: "d1", Directory: "x", Peers: []Peer{{"d1", "h:1"}, {"d2", "h:2"}}}, "needs a raft address"},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:1", Peers: []Peer{{"d1", "h:1"}, {"d1", "h:2"}}}, `"d1" is named twice`},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:1", Peers: []Peer{{"d1", "h:1"}, {"d2", "h:1"}}}, "address h:1 is named twice"},
	} {
		if _, err := Open(c.cfg, new(book)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%+v) = %v, want %q", c.cfg, err, c.want)
		}
	}
}
