package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"taskgrid/internal/ports"
)

func newTestLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// insist has the node that leads do something, and asks again when it turns out not to lead any more: where processors and
// disks are busy, leaders change.
func insist(t *testing.T, nodes []*node, do func(*node) error) *node {
	t.Helper()
	for range 200 {
		l := leader(t, nodes)
		err := do(l)
		if err == nil {
			return l
		}
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("no leader did it")
	return nil
}

// line is for insist, and writes a line, once.
func line(text string) func(*node) error {
	return func(l *node) error {
		if slices.Contains(l.book.all(), text) { // an answer was lost
			return nil
		}
		_, err := l.write(text)
		return err
	}
}

// freePeers returns n members at addresses where nobody listens.
func freePeers(t *testing.T, n int) (peers []Peer) {
	t.Helper()
	addresses, err := ports.Free(n)
	if err != nil {
		t.Fatal(err)
	}
	for i, address := range addresses {
		peers = append(peers, Peer{ID: fmt.Sprint("d", i+1), Address: address})
	}
	return peers
}

// TestThreeNodesOverTCP: real files and connections; one node goes and comes back.
func TestThreeNodesOverTCP(t *testing.T) {
	peers := freePeers(t, 3)
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
	insist(t, nodes, line("one"))
	l := insist(t, nodes, func(l *node) error { return l.VerifyLeader(t.Context()) })
	gone := 0
	for nodes[gone] != l {
		gone++
	}
	l.close()
	next := insist(t, append(nodes[:gone:gone], nodes[gone+1:]...), line("two"))
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
	var s Status
	for range 200 { // in which another may come to lead, it too
		s, next = nodes[gone].Status(), leader(t, nodes)
		if s.LeaderID == next.Status().ID && (s.State == "follower" || s.Leading) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s.LeaderID != next.Status().ID || s.State != "follower" && !s.Leading || len(s.Peers) != 3 || !s.Peers[0].Voter {
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
