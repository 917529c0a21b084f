package nameservice_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// fill makes so many changes, each of a different worker and none smaller than 4 kB, that a watcher that does not read
// cannot have been sent them all.
func (g *grid) fill(t testing.TB, round int) {
	t.Helper()
	labels := map[string]string{}
	for i := range 16 {
		labels[fmt.Sprint("label", i)] = strings.Repeat("x", 250)
	}
	for i := range 50 {
		req := registration(fmt.Sprintf("w%d", i), "hash")
		req.Labels, req.Version = labels, fmt.Sprint(round)
		if _, err := g.client.RegisterWorker(t.Context(), req); err != nil {
			t.Fatalf("register: %v", err)
		}
		synctest.Wait()
		time.Sleep(20 * time.Millisecond) // so that each is published by itself
	}
}

// stall opens a watch and makes changes until the server is stuck in sending to it. Streams of one connection share a
// window, so it has a connection of its own.
func (g *grid) stall(t testing.TB) *watch {
	t.Helper()
	w := watchOn(t, g.connect(t), &pb.WatchWorkersRequest{})
	w.recv(t)
	g.fill(t, 0)
	return w
}

func TestWatcherThatReadsAgainGetsTheNewestOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		w := g.stall(t)
		for round := range 5 {
			g.fill(t, round)
		}
		lease := g.register(t, "last", "hash")
		g.deregister(t, lease)
		newest := g.watch(t, &pb.WatchWorkersRequest{})
		newest.recv(t)
		messages := 0
		for ; w.last.Version < newest.last.Version; messages++ {
			w.recv(t)
		}
		if messages > 150 {
			t.Errorf("messages for 302 changes to a watcher that slept: got %d, want the missed ones together", messages)
		}
		if diff := cmp.Diff(newest.workers, w.workers); diff != "" {
			t.Errorf("workers that it knows (-want +got):\n%s", diff)
		}
	})
}

func TestWatcherThatMissedTooMuchIsEndedAndMayResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		w := g.stall(t)
		g.server.LimitDepartures(10)
		for range 20 {
			g.deregister(t, g.register(t, "fleeting", "hash"))
		}
		var err error
		for err == nil {
			err = w.take()
		}
		expectCode(t, "watcher that missed 20 departures of 10", err, codes.ResourceExhausted)
		if got := gather(t, g.server.Metrics())["watchers_dropped_total"]; got != 1 {
			t.Errorf("watchers dropped: got %v, want 1", got)
		}
		w = g.watch(t, &pb.WatchWorkersRequest{Epoch: w.last.Epoch, Version: w.last.Version})
		w.recv(t)
		if !w.last.Snapshot || len(w.workers) != 50 {
			t.Errorf("resumed: got %d workers, snapshot %v, want a snapshot of 50", len(w.workers), w.last.Snapshot)
		}
	})
}

func TestWatchersThatDoNotReadStallNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		deaf := g.connect(t)
		for range 30 {
			watchOn(t, deaf, &pb.WatchWorkersRequest{}).recv(t)
		}
		reader := g.watch(t, &pb.WatchWorkersRequest{Type: "sum"})
		reader.recv(t)
		for round := range 3 {
			g.fill(t, round)
			begin := time.Now()
			g.register(t, fmt.Sprint("sum", round), "sum")
			g.heartbeat(t, "w1", g.register(t, "w1", "hash"))
			for reader.workers[fmt.Sprint("sum", round)] != active {
				reader.recv(t)
			}
			if took := time.Since(begin); took > 50*time.Millisecond {
				t.Errorf("round %d: a change reached the reader after %v", round, took)
			}
		}
	})
}

// TestSnapshotIsHeldOnceForAllWatchers gives 100 watchers that do not read a snapshot of 1 MB.
func TestSnapshotIsHeldOnceForAllWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		kilobyte := map[string]string{}
		for i := range 4 {
			kilobyte[fmt.Sprint("label", i)] = strings.Repeat("x", 250)
		}
		for i := range 1000 {
			req := registration(fmt.Sprint("w", i), "hash")
			req.Labels = kilobyte
			if _, err := g.client.RegisterWorker(t.Context(), req); err != nil {
				t.Fatalf("register: %v", err)
			}
		}
		before := heap()
		deaf := g.connect(t, grpc.WithInitialWindowSize(64<<10)) // else the client takes in more and more
		for range 100 {
			if _, err := watchOn(t, deaf, &pb.WatchWorkersRequest{}).stream.Header(); err != nil {
				t.Fatalf("watch: %v", err)
			}
		}
		synctest.Wait()
		if grown := (heap() - before) >> 20; grown > 30 {
			t.Errorf("100 watchers that do not read hold %d MB, want one snapshot of some 1 MB and their windows", grown)
		}
	})
}
