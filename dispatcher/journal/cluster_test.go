package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// node is one of several journals in memory.
type node struct {
	*running
	book      *book
	transport *memoryTransport
	heard     []Leadership
}

// memoryTransport carries messages in memory. When it is deaf, the request to take over leadership gets lost.
type memoryTransport struct {
	*raft.InmemTransport
	deaf atomic.Bool
}

// TimeoutNow implements raft.Transport.
func (m *memoryTransport) TimeoutNow(id raft.ServerID, to raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	if m.deaf.Load() {
		return nil
	}
	return m.InmemTransport.TimeoutNow(id, to, q, a)
}

// startCluster runs n journals that reach each other in memory. It is for a synctest bubble.
func startCluster(t *testing.T, n int) []*node {
	t.Helper()
	var peers []Peer
	nodes := make([]*node, n)
	for i := range nodes {
		id := fmt.Sprintf("d%d", i+1)
		address, transport := raft.NewInmemTransport(raft.ServerAddress(id))
		nodes[i] = &node{book: new(book), transport: &memoryTransport{InmemTransport: transport}}
		peers = append(peers, Peer{ID: id, Address: string(address)})
	}
	for i, x := range nodes {
		for _, y := range nodes {
			x.transport.Connect(y.transport.LocalAddr(), y.transport.InmemTransport)
		}
		store := raft.NewInmemStore()
		x.running = start(t, Config{
			ID: peers[i].ID, Peers: peers, Transport: x.transport,
			Stores: &Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()},
		}, x.book)
		go func() {
			for l := range x.Leadership() {
				x.heard = append(x.heard, l)
			}
		}()
	}
	return nodes
}

// leader waits for a node that leads, other than those given.
func leader(t *testing.T, nodes []*node, not ...*node) *node {
	t.Helper()
	for range 200 {
		for _, n := range nodes {
			if n.Status().Leading && !contains(not, n) {
				return n
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no leader within 20 s")
	return nil
}

func contains(nodes []*node, n *node) bool {
	for _, x := range nodes {
		if x == n {
			return true
		}
	}
	return false
}

// isolate cuts the node off from the others.
func isolate(nodes []*node, n *node) {
	n.transport.DisconnectAll()
	for _, x := range nodes {
		if x != n {
			x.transport.Disconnect(n.transport.LocalAddr())
		}
	}
}

// heal connects everybody again.
func heal(nodes []*node) {
	for _, x := range nodes {
		for _, y := range nodes {
			x.transport.Connect(y.transport.LocalAddr(), y.transport.InmemTransport)
		}
	}
}

// fate is what became of a record.
type fate struct {
	record string
	err    error
}

// TestAnIsolatedLeaderFailsWhatIsPending: three nodes; the leader is cut off with proposals under way. They fail, at
// that node; a new leader takes over; and after the healing all three hold the same: everything acknowledged, in
// order, once, and of the failed only what was possibly under way.
func TestAnIsolatedLeaderFailsWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		old := leader(t, nodes)
		var mu sync.Mutex
		var fates []fate
		propose := func(n *node, record string) error {
			return n.Propose([][]byte{[]byte(record)}, func(_ []any, err error) {
				mu.Lock()
				defer mu.Unlock()
				fates = append(fates, fate{record, err})
			})
		}
		for i := range 10 {
			if err := propose(old, fmt.Sprintf("before %02d", i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		isolate(nodes, old)
		for i := range 10 {
			if err := propose(old, fmt.Sprintf("cut off %02d", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		next := leader(t, nodes, old)
		if err := propose(old, "too late"); !errors.Is(err, ErrNotLeader) {
			t.Errorf("Propose at the deposed leader = %v, want ErrNotLeader", err)
		}
		for i := range 10 {
			if err := propose(next, fmt.Sprintf("after %02d", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		heal(nodes)
		time.Sleep(10 * time.Second)
		synctest.Wait()

		if len(fates) != 30 {
			t.Errorf("%d of 30 proposals were answered", len(fates))
		}
		var acknowledged []string
		for i, f := range fates {
			switch {
			case f.err == nil:
				acknowledged = append(acknowledged, f.record)
			case !strings.HasPrefix(f.record, "cut off"):
				t.Errorf("%q failed: %v", f.record, f.err)
			case i == 10 && !errors.Is(f.err, ErrUnknown), i > 10 && !errors.Is(f.err, ErrNotLeader) && !errors.Is(f.err, ErrUnknown):
				t.Errorf("%q failed with %v; the first is unknown, the others are unknown or certainly not applied", f.record, f.err)
			}
		}
		for _, n := range nodes {
			if diff := cmp.Diff(nodes[0].book.all(), n.book.all()); diff != "" {
				t.Errorf("%s and %s differ:\n%s", nodes[0].Status().ID, n.Status().ID, diff)
			}
		}
		var kept []string
		for _, line := range nodes[0].book.all() {
			if !strings.HasPrefix(line, "cut off") {
				kept = append(kept, line)
			}
		}
		if diff := cmp.Diff(acknowledged, kept); diff != "" {
			t.Errorf("acknowledged and kept differ:\n%s", diff)
		}
		if len(old.heard) < 2 || !old.heard[0].Leading || old.heard[1].Leading || old.heard[0].Term != old.heard[1].Term {
			t.Errorf("the deposed leader heard %v, want a gain and a loss of the same term", old.heard)
		}
		if len(next.heard) != 1 || next.heard[0].Term <= old.heard[0].Term {
			t.Errorf("the next leader heard %v, want one gain of a later term than %v", next.heard, old.heard)
		}
		if err := old.VerifyLeader(t.Context()); old.Status().Leading == (err != nil) {
			t.Errorf("VerifyLeader of %+v = %v", old.Status(), err)
		}
	})
}

// TestADeposedLeaderDoesNotVerify: in the moment after it was cut off a leader still believes it leads; a read must
// not rest on that.
func TestADeposedLeaderDoesNotVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		if err := l.VerifyLeader(t.Context()); err != nil {
			t.Errorf("VerifyLeader of the leader = %v", err)
		}
		for _, n := range nodes {
			if err := n.VerifyLeader(t.Context()); n != l && !errors.Is(err, ErrNotLeader) {
				t.Errorf("VerifyLeader of a follower = %v, want ErrNotLeader", err)
			}
		}
		isolate(nodes, l)
		if !l.Status().Leading {
			t.Fatal("the leader knows already")
		}
		if err := l.VerifyLeader(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("VerifyLeader of a leader without followers = %v, want ErrNotLeader", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		isolate(nodes, leader(t, nodes, l))
		for _, n := range nodes {
			if err := n.VerifyLeader(ctx); err == nil {
				t.Errorf("%s verified although nobody has a majority", n.Status().ID)
			}
		}
	})
}

// TestAFollowerThatWasAwayCatchesUpFromASnapshot: while it was away the log it needs was given back.
func TestAFollowerThatWasAwayCatchesUpFromASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		var away *node
		for _, n := range nodes {
			if n != l {
				away = n
			}
		}
		isolate(nodes, away)
		large := strings.Repeat("x", entryBytes)
		for i := range 2 * trailingBytes / entryBytes {
			if _, err := l.write(fmt.Sprint(i, large)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.SnapshotNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, err := l.stores.Log.FirstIndex()
		if err != nil || first < away.Status().LastIndex+2 {
			t.Fatalf("the log begins at %d, %v; the follower has %d: it would not need the snapshot", first, err, away.Status().LastIndex)
		}
		if last := l.Status().LastIndex; last-first < trailingBytes/entryBytes/2 {
			t.Errorf("the log has only %d to %d: nothing is left for a follower that is a little behind", first, last)
		}
		heal(nodes)
		time.Sleep(20 * time.Second)
		if _, err := leader(t, nodes).write("last"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff(len(l.book.all()), len(away.book.all())); diff != "" {
			t.Errorf("lines at the leader and at the follower (-leader +follower):\n%s", diff)
		}
	})
}

// TestANodeThatDoesNotCountYetHasNotEntered: the leader that was adding it may be lost before it is done, and then the
// node has to ask again.
func TestANodeThatDoesNotCountYetHasNotEntered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		_, transport := raft.NewInmemTransport("d4")
		late := &node{book: new(book), transport: &memoryTransport{InmemTransport: transport}}
		store := raft.NewInmemStore()
		late.running = start(t, Config{
			ID: "d4", Join: true, Transport: late.transport,
			Stores: &Stores{Log: store, Stable: store, Snapshots: raft.NewInmemSnapshotStore()},
		}, late.book)
		nodes = append(nodes, late)
		heal(nodes)
		for _, step := range []struct {
			what    string
			future  func() raft.IndexFuture
			entered bool
		}{
			{"added", func() raft.IndexFuture { return l.raft.Load().AddNonvoter("d4", "d4", 0, 0) }, false},
			{"counted", func() raft.IndexFuture { return l.raft.Load().AddVoter("d4", "d4", 0, 0) }, true},
		} {
			if err := step.future().Error(); err != nil {
				t.Fatalf("%s: %v", step.what, err)
			}
			time.Sleep(time.Second)
			if known := isMember(late.members(), "d4"); !known || late.Entered() != step.entered {
				t.Errorf("once it was %s: it knows so: %t, has entered: %t; want true, %t", step.what, known, late.Entered(), step.entered)
			}
		}
	})
}
