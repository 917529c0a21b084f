package nameservice_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"taskgrid/internal/rpc"
	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// watch is a client's side of WatchWorkers and what it learnt: the state of each worker.
type watch struct {
	stream  grpc.ServerStreamingClient[pb.WatchWorkersResponse]
	cancel  context.CancelFunc
	last    *pb.WatchWorkersResponse
	workers map[string]pb.WorkerState
}

// watch opens a watch on the connection of the grid.
func (g *grid) watch(t testing.TB, req *pb.WatchWorkersRequest) *watch {
	t.Helper()
	return watchOn(t, g.conn, req)
}

// watchOn opens a watch on a connection.
func watchOn(t testing.TB, conn *grpc.ClientConn, req *pb.WatchWorkersRequest) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := pb.NewNameServiceClient(conn).WatchWorkers(ctx, req)
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	return &watch{stream: stream, cancel: cancel, workers: map[string]pb.WorkerState{}}
}

// take reads the next message and applies it.
func (w *watch) take() error {
	res, err := w.stream.Recv()
	if err != nil {
		return err
	}
	if res.Snapshot {
		clear(w.workers)
	}
	for _, id := range res.Removed {
		delete(w.workers, id)
	}
	for _, worker := range res.Workers {
		w.workers[worker.WorkerId] = worker.State
	}
	w.last = res
	return nil
}

// recv reads the next message, which must come, and says what is in it besides epoch and version.
func (w *watch) recv(t testing.TB) string {
	t.Helper()
	if err := w.take(); err != nil {
		t.Fatalf("watch: %v", err)
	}
	said := []string{}
	if w.last.Snapshot {
		said = append(said, "snapshot")
	}
	if w.last.Settled {
		said = append(said, "settled")
	}
	for _, worker := range w.last.Workers {
		said = append(said, worker.WorkerId+"="+strings.ToLower(strings.TrimPrefix(worker.State.String(), "WORKER_STATE_")))
	}
	for _, id := range w.last.Removed {
		said = append(said, "-"+id)
	}
	return strings.Join(said, " ")
}

// expect reads the next message and compares.
func (w *watch) expect(t testing.TB, after, want string) {
	t.Helper()
	if got := w.recv(t); got != want {
		t.Errorf("watcher after %s: got %q, want %q", after, got, want)
	}
}

func TestWatchIsASnapshotAndThenChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		g.register(t, "w1", "hash")
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.expect(t, "it began", "snapshot w1=active")
		lease := g.register(t, "w2", "hash")
		w.expect(t, "w2 registered", "w2=active")
		if _, err := g.client.SetDraining(t.Context(), &pb.SetDrainingRequest{WorkerId: "w2", Draining: true}); err != nil {
			t.Fatal(err)
		}
		w.expect(t, "w2 drained", "w2=draining")
		g.deregister(t, lease)
		w.expect(t, "w2 deregistered", "-w2")
	})
}

func TestSilenceAndSettlingAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		g := newGrid(t, nameservice.Options{})
		time.Sleep(time.Second)
		lease := g.register(t, "w1", "hash")
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.expect(t, "it began", "snapshot w1=active")
		for _, c := range []struct {
			want string
			at   time.Duration
		}{
			{"settled", 3 * time.Second},
			{"settled w1=unhealthy", 4 * time.Second},
			{"settled w1=offline", 11 * time.Second},
		} {
			w.expect(t, "silence", c.want)
			if got := time.Since(begin); got < c.at || got > c.at+200*time.Millisecond {
				t.Errorf("%q was told after %v, want %v", c.want, got, c.at)
			}
		}
		g.heartbeat(t, "w1", lease)
		w.expect(t, "a heartbeat", "settled w1=active")
		w.expect(t, "3 s", "settled w1=unhealthy")
		w.expect(t, "10 s", "settled w1=offline")
		w.expect(t, "60 s", "settled -w1")
	})
}

func TestHeartbeatsAreNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		time.Sleep(4 * time.Second)
		lease := g.register(t, "w1", "hash")
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.expect(t, "it began", "snapshot settled w1=active")
		for range 10 {
			time.Sleep(time.Second)
			g.heartbeat(t, "w1", lease)
		}
		g.register(t, "w2", "hash")
		w.expect(t, "ten heartbeats and a registration", "settled w2=active")
	})
}

func TestWatchOfATypeTellsOfThatTypeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		g.register(t, "w1", "hash")
		g.register(t, "w2", "sum")
		w := g.watch(t, &pb.WatchWorkersRequest{Type: "hash"})
		w.expect(t, "it began", "snapshot w1=active")
		g.register(t, "w3", "sum")
		g.register(t, "w2", "sum", "hash")
		w.expect(t, "w2 took up the type", "w2=active")
		g.register(t, "w1", "sum")
		w.expect(t, "w1 gave up the type", "-w1")
	})
}

func TestBrokenWatchResumesWithWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		g.register(t, "w1", "hash")
		lease := g.register(t, "w2", "hash")
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.expect(t, "it began", "snapshot w1=active w2=active")
		w.cancel()
		g.deregister(t, lease)
		g.register(t, "w3", "hash")

		resumed := g.watch(t, &pb.WatchWorkersRequest{Epoch: w.last.Epoch, Version: w.last.Version})
		resumed.expect(t, "it resumed", "w3=active -w2")
		for _, other := range []*pb.WatchWorkersRequest{
			{Epoch: "another", Version: w.last.Version},
			{Epoch: w.last.Epoch, Version: w.last.Version + 1000},
		} {
			g.watch(t, other).expect(t, fmt.Sprintf("it resumed from %v", other), "snapshot w1=active w3=active")
		}

		// One that missed nothing hears nothing, but its headers come.
		current := g.watch(t, &pb.WatchWorkersRequest{Epoch: w.last.Epoch, Version: resumed.last.Version})
		if _, err := current.stream.Header(); err != nil {
			t.Fatalf("headers: %v", err)
		}
		g.register(t, "w4", "hash")
		current.expect(t, "the next change", "w4=active")
	})
}

func TestSecondWatcherSeesWhatHappenedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		for i := range 20 { // snapshots are shared, but never across a change
			g.register(t, fmt.Sprint("w", i), "hash")
			w := g.watch(t, &pb.WatchWorkersRequest{})
			w.recv(t)
			if len(w.workers) != i+1 {
				t.Fatalf("snapshot after %d registrations: got %d workers", i+1, len(w.workers))
			}
		}
	})
}

func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{MaxWatchers: 1})
		first := g.watch(t, &pb.WatchWorkersRequest{})
		first.expect(t, "it began", "snapshot")
		expectCode(t, "a second watcher of one", g.watch(t, &pb.WatchWorkersRequest{}).take(), codes.ResourceExhausted)
		first.cancel()
		synctest.Wait()
		g.watch(t, &pb.WatchWorkersRequest{}).expect(t, "the first one left", "snapshot")
	})
}

func TestWatchesEndWhenTheServiceStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.expect(t, "it began", "snapshot")
		begin := time.Now()
		g.stop() // waits for all calls to end
		expectCode(t, "watch of a service that stopped", w.take(), codes.Unavailable)
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("stopping took %v, want no wait for watches", took)
		}
	})
}

// heap returns the bytes in use on the heap.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestWatchersAgreeWithLookupAfterConcurrentChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		var workers, watchers sync.WaitGroup
		for n := range 8 {
			workers.Go(func() { g.live(t, n) })
		}
		for n := range 20 {
			taskType := []string{"", "hash", "sum"}[n%3]
			watchers.Go(func() { g.follow(t, taskType) })
		}
		workers.Wait()
		g.register(t, "the-end", "hash", "sum")
		watchers.Wait()
	})
}

// live is a number of workers that come, change and go.
func (g *grid) live(t *testing.T, n int) {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	leases := map[string]string{}
	for range 200 {
		id := fmt.Sprintf("w%d-%d", n, random.IntN(5))
		switch lease := leases[id]; {
		case lease == "" || random.IntN(3) == 0:
			leases[id] = g.register(t, id, [][]string{{"hash"}, {"sum"}, {"hash", "sum"}}[random.IntN(3)]...)
		case random.IntN(2) == 0:
			g.heartbeat(t, id, lease)
		default:
			g.deregister(t, lease)
			delete(leases, id)
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	}
}

// follow watches a type until the last worker comes, now and then with a new stream, and then asks for the same.
func (g *grid) follow(t *testing.T, taskType string) {
	w := g.watch(t, &pb.WatchWorkersRequest{Type: taskType})
	for n := 0; w.workers["the-end"] != active; n++ {
		if err := w.take(); err != nil {
			t.Errorf("watch: %v", err)
			return
		}
		if n%10 == 9 {
			w.cancel()
			resumed := g.watch(t, &pb.WatchWorkersRequest{Type: taskType, Epoch: w.last.Epoch, Version: w.last.Version})
			w.stream, w.cancel = resumed.stream, resumed.cancel
		}
	}
	if diff := cmp.Diff(g.lookup(t, taskType), w.workers); diff != "" {
		t.Errorf("workers of %q at version %d (-lookup +watch):\n%s", taskType, w.last.Version, diff)
	}
}

// TestServerWithoutTheCodec serves watchers from a plain gRPC server.
func TestServerWithoutTheCodec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{}, grpc.ForceServerCodecV2(rpc.Codec()))
		g.register(t, "w1", "hash")
		g.watch(t, &pb.WatchWorkersRequest{}).expect(t, "it began", "snapshot w1=active")
	})
}
