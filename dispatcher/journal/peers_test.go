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

func TestHalfAConfigurationIsRefusedInWords(t *testing.T) {
	two := []Peer{{"d1", "h:1"}, {"d2", "h:2"}}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Directory: "x"}, `id: "": must be 1 to 64 characters`},
		{Config{Directory: "x", ID: "d 1"}, `id: "d 1": must be 1 to 64 characters of a-z`},
		{Config{ID: "d1"}, `data: "": must be a directory`},
		{Config{ID: "d1", Directory: "x", RaftAddress: "0.0.0.0:1"}, `raft-address: "0.0.0.0:1": must name a host that the other members can dial`},
		{Config{ID: "d1", Directory: "x", RaftAddress: ":1"}, `raft-address: ":1": must be host:port`},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:0"}, `raft-address: "h:0": must have a port of 1 to 65535`},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:1", RaftListen: "h"}, `raft-listen: "h": must be host:port`},
		{Config{ID: "d1", Directory: "x", ElectionTimeout: 1}, "election-timeout: 1ns: must be 5ms to 1m0s, or 0"},
		{Config{ID: "d1", Directory: "x", RaftListen: ":1"}, `raft-address: "": is required with --raft-listen`},
		{Config{ID: "d1", Directory: "x", Join: true}, `raft-address: "": is required with --join`},
		{Config{ID: "d1", Directory: "x", Join: true, Peers: two}, "join: cannot be together with --peers d1=h:1,d2=h:2"},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:1", Peers: []Peer{{"d2", "h:2"}}}, "peers: d2=h:2: does not include this node, --id d1"},
		{Config{ID: "d1", Directory: "x", RaftAddress: "h:3", Peers: two}, `says that this node, "d1", is at h:1, but --raft-address is h:3`},
		{Config{ID: "d1", Directory: "x", Peers: []Peer{{"d1", "h:1"}, {"d1", "h:2"}}}, `id "d1" is named twice`},
		{Config{ID: "d1", Directory: "x", Peers: []Peer{{"d1", "h:1"}, {"d2", "h:1"}}}, "address h:1 is named twice"},
		{Config{ID: "d1", Directory: "x", Peers: []Peer{{"d1", "h:1"}, {"d2", "[::]:1"}}}, `d2: "[::]:1": must name a host`},
	} {
		if _, err := Open(c.cfg, new(book)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%+v) = %v, want %q", c.cfg, err, c.want)
		}
	}
}

func TestAListOfPeersIsReadAsItIsWritten(t *testing.T) {
	const list = "d1=10.0.0.1:50062,d2=host-2:50062"
	peers, err := ParsePeers(" d1=10.0.0.1:50062, d2 = host-2:50062 ")
	if err != nil || FormatPeers(peers) != list {
		t.Errorf("read as %v, %v; want %s", peers, err, list)
	}
	if _, err := ParsePeers("d1,d2=h:1"); err == nil || err.Error() != `peers: "d1": must be id=host:port, separated by commas` {
		t.Errorf("a peer without address: %v", err)
	}
}
