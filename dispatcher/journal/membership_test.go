package journal

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// joiner starts a node d4 that was told to join, and lets all reach it.
func joiner(t *testing.T, nodes []*node) *node {
	t.Helper()
	_, transport := raft.NewInmemTransport("d4")
	late := &node{book: new(book), transport: &memoryTransport{InmemTransport: transport}}
	store := raft.NewInmemStore()
	late.running = start(t, Config{
		ID: "d4", Join: true, Transport: late.transport,
		Stores: &Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()},
	}, late.book)
	heal(append(nodes, late))
	return late
}

// TestAMemberThatWasRemovedWhileItCaughtUpIsNotLetInAgain: taskgrid raft remove comes while taskgrid raft add waits.
func TestAMemberThatWasRemovedWhileItCaughtUpIsNotLetInAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		joiner(t, nodes)
		d4 := Peer{ID: "d4", Address: "d4"}
		add := func() {
			t.Helper()
			if err := l.raft.Load().AddNonvoter("d4", "d4", 0, 0).Error(); err != nil {
				t.Fatal(err)
			}
		}
		add()
		if err := l.RemoveMember("d4"); err != nil {
			t.Fatal(err)
		}
		if err := l.promote(d4); !errors.Is(err, ErrMember) || isMember(l.members(), "d4") {
			t.Errorf("let in after it was removed: %v, members %v; want that it was removed", err, l.members())
		}
		add()
		if err := l.promote(Peer{ID: "d4", Address: "elsewhere"}); !errors.Is(err, ErrMember) {
			t.Errorf("let in at another address than it was added at: %v", err)
		}
		if err := l.promote(d4); err != nil || len(l.Status().Peers) != 4 || !l.Status().Peers[3].Voter {
			t.Errorf("let in when it was added again: %v, members %+v", err, l.Status().Peers)
		}
	})
}

// TestADiskIsForgottenAfterItsVoteIsTaken: were it the other way round, a remove cut off half way would leave a member of
// which nobody knows that its disk was lost.
func TestADiskIsForgottenAfterItsVoteIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		var gone *node
		for _, n := range nodes {
			if n != l {
				gone = n
			}
		}
		before := l.Status().LastIndex
		if err := l.RemoveMember(gone.Status().ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var order []string
		for i := before + 1; i <= l.Status().LastIndex; i++ {
			var entry raft.Log
			if err := l.stores.Log.GetLog(i, &entry); err != nil {
				t.Fatal(err)
			}
			switch {
			case entry.Type == raft.LogConfiguration:
				order = append(order, "vote")
			case strings.Contains(string(entry.Data), `"forget"`):
				order = append(order, "disk")
			}
		}
		if got := strings.Join(order, " "); got != "vote disk" {
			t.Errorf("taken away: %s; want the vote and then the disk", got)
		}
	})
}

func TestWhatRaftWillNotDoIsSaidInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		joiner(t, nodes)
		if err := l.raft.Load().AddNonvoter("d4", "d4", 0, 0).Error(); err != nil {
			t.Fatal(err)
		}
		self := l.Status().ID
		expect := func(what string, err error, words string) {
			t.Helper()
			if !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", what, err, words)
			}
		}
		expect("transfer to itself", l.Transfer(self), "leads already")
		expect("transfer to one that catches up", l.Transfer("d4"), "is catching up")
		expect("transfer to nobody", l.Transfer("d9"), "is no member; the members are d1=")
		for _, n := range nodes {
			n.transport.deaf.Store(true)
		}
		expect("transfer to one that does not hear", l.Transfer(""), "did not take over in time")

		store := raft.NewInmemStore()
		alone := start(t, Config{ID: "d1", Stores: &Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}}, new(book))
		alone.lead()
		expect("transfer of the only one", alone.Transfer(""), "nobody to hand over to")
		expect("removal of the only one", alone.RemoveMember("d1"), "is the only member that counts")
	})
}

// TestADiskThatWasLostAndReachedNobodyNeedsNoSecondWipe: d3 begins with an empty disk while it reaches nobody. Later it
// finds that the others have a cluster, in which it had another disk, and waits to be let in.
func TestADiskThatWasLostAndReachedNobodyNeedsNoSecondWipe(t *testing.T) {
	peers := freePeers(t, 3)
	begin := func(i int, dir string) *node {
		n := &node{book: new(book)}
		n.running = start(t, Config{Directory: dir, ID: peers[i].ID, RaftAddress: peers[i].Address, Peers: peers}, n.book)
		for n.Status().State == "stopped" { // raft starts
			time.Sleep(10 * time.Millisecond)
		}
		return n
	}
	lonely := t.TempDir()
	d3 := begin(2, lonely)
	if !d3.Entered() {
		t.Error("it did not begin when it reached nobody")
	}
	d3.close()

	nodes := []*node{begin(0, t.TempDir()), begin(1, t.TempDir()), begin(2, t.TempDir())}
	l := insist(t, nodes, line("one"))
	for range 200 { // until the roll knows the disk of d3
		if l.machine.known().Replicas["d3"].Disk != "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	nodes[2].close()
	l = leader(t, nodes[:2])
	d3 = begin(2, lonely)
	if d3.Entered() {
		t.Error("with a cluster of the others in reach it still holds to its own beginning")
	}
	self, disk := d3.Self()
	if _, err := l.AddMember(t.Context(), self, disk); !errors.Is(err, ErrMember) {
		t.Errorf("let in with another disk: %v", err)
	}
	insist(t, nodes[:2], func(l *node) error {
		if !isMember(l.members(), "d3") { // an answer was lost
			return nil
		}
		return l.RemoveMember("d3")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l = insist(t, nodes[:2], func(l *node) error {
		_, err := l.AddMember(ctx, self, disk)
		return err
	})
	for range 200 {
		if len(d3.book.all()) == 1 && d3.Entered() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := d3.book.all(); len(got) != 1 || !d3.Entered() {
		t.Errorf("let in anew it has %q, entered %t", got, d3.Entered())
	}
	if already, err := l.AddMember(ctx, self, disk); !already || err != nil {
		t.Errorf("added again: already %t, %v", already, err)
	}
}
