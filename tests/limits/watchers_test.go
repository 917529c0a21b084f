//go:build unix

package limits

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// watch is one watch of the workers, and what it knows of them.
type watch struct {
	ctx    context.Context
	api    pb.NameServiceClient
	stream pb.NameService_WatchWorkersClient
	knows  map[string]bool
	last   *pb.WatchWorkersResponse
}

// until reads until a worker is known. On a machine so busy that a connection is silent for seconds, it is given up; then
// the watch resumes.
func (w *watch) until(worker string) error {
	for !w.knows[worker] {
		resp, err := w.stream.Recv()
		if status.Code(err) == codes.Unavailable {
			if w.stream, err = w.api.WatchWorkers(w.ctx, &pb.WatchWorkersRequest{Epoch: w.last.GetEpoch(), Version: w.last.GetVersion()}, grpc.WaitForReady(true)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if resp.Snapshot != (w.last == nil) || w.last != nil && resp.Version <= w.last.Version {
			return fmt.Errorf("version %d, snapshot %v, after %v", resp.Version, resp.Snapshot, w.last.GetVersion())
		}
		for _, worker := range resp.Workers {
			w.knows[worker.WorkerId] = true
		}
		resp.Workers = nil
		w.last = resp
	}
	return nil
}

// TestTenThousandWatchersOfTheNameServiceOfWhichHalfDoNotReadStallNobody has ten connections with a thousand watches
// each, and a snapshot that is longer than a watcher who does not read takes in.
func TestTenThousandWatchersOfTheNameServiceOfWhichHalfDoNotReadStallNobody(t *testing.T) {
	const window = 64 << 10
	n, connections := many(10_000), 10
	g := grid.New(t)
	g.LogLevel = "info"
	ns := g.Nameservice("--max-watchers", fmt.Sprint(n), "--unhealthy-after", "10m", "--offline-after", "20m", "--forget-after", "30m")
	connect := func() pb.NameServiceClient {
		conn, err := rpc.Dial("passthrough:///"+g.NS, "test", grpc.WithStaticStreamWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return pb.NewNameServiceClient(conn)
	}
	api := connect()
	g.Eventually("the name service answers", func(ctx context.Context) error {
		_, err := api.GetStatus(ctx, &pb.NameServiceGetStatusRequest{})
		return err
	})
	register := func(id string) {
		t.Helper()
		_, err := api.RegisterWorker(g.Context(), &pb.RegisterWorkerRequest{WorkerId: id, Types: []string{"reverse"}, Address: "127.0.0.1:1",
			Capacity: 1, Labels: map[string]string{"a": strings.Repeat("x", 250), "b": strings.Repeat("y", 250)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * window / 600 {
		register(fmt.Sprint("w", i))
	}

	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var deaf, quick []*watch
	for i := range n {
		if i%(n/connections) == 0 {
			api = connect()
		}
		stream, err := api.WatchWorkers(ctx, &pb.WatchWorkersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Header(); err != nil {
			t.Fatalf("watch %d: %v", i, err)
		}
		w := &watch{ctx: ctx, api: api, stream: stream, knows: map[string]bool{}}
		if i%2 == 0 {
			deaf = append(deaf, w)
		} else {
			quick = append(quick, w)
		}
	}
	heard := func(worker string) time.Duration {
		t.Helper()
		began := time.Now()
		var reading sync.WaitGroup
		for i, w := range quick {
			reading.Go(func() {
				if err := w.until(worker); err != nil {
					t.Errorf("reader %d: %v", i, err)
				}
			})
		}
		reading.Wait()
		return time.Since(began)
	}
	t.Logf("%d watches after %v, the snapshot is read after %v more", n, time.Since(began).Round(time.Millisecond), heard("w0").Round(time.Millisecond))

	var refused error
	more := connect()
	for i := 0; i < n && refused == nil; i++ { // the first one, if no connection was given up
		one, err := more.WatchWorkers(ctx, &pb.WatchWorkersRequest{})
		if err == nil {
			_, err = one.Recv()
		}
		refused = err
	}
	if status.Code(refused) != codes.ResourceExhausted || !strings.Contains(refused.Error(), fmt.Sprintf("%d watchers", n)) {
		t.Errorf("one watch too many: %v, want RESOURCE_EXHAUSTED", refused)
	}

	var longest time.Duration
	for i := range 10 {
		worker := fmt.Sprint("new", i)
		began := time.Now()
		register(worker)
		resp, err := api.LookupWorkers(g.Context(), &pb.LookupWorkersRequest{Type: "reverse"})
		if took := time.Since(began); err != nil || len(resp.Workers) != 2*window/600+i+1 || took > 5*time.Second {
			t.Errorf("register and look up beside them: %d workers, %v, took %v", len(resp.GetWorkers()), err, took)
		}
		longest = max(longest, heard(worker))
	}
	t.Logf("a change reaches %d readers beside as many that do not read within %v; memory of the name service at its peak: %d MB", len(quick), longest.Round(time.Millisecond), peak(ns)>>20)
	if longest > 5*time.Second {
		t.Errorf("a change reached the readers after %v", longest)
	}
	for _, i := range []int{0, len(deaf) / 2, len(deaf) - 1} {
		if err := deaf[i].until("new9"); err != nil {
			t.Errorf("one who reads again: %v", err)
		}
	}
}
