package monitoring

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const monitoringAddress = "10.0.0.9:50053"

// client returns a client of monitoring's gRPC face.
func (g *grid) client() pb.MonitoringClient {
	g.t.Helper()
	g.network.serve(g.t, monitoringAddress, func(s grpc.ServiceRegistrar) { pb.RegisterMonitoringServer(s, g.server) })
	conn, err := rpc.Dial("passthrough:///"+monitoringAddress, "test", grpc.WithContextDialer(g.network.dial))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return pb.NewMonitoringClient(conn)
}

func TestGetStatsNamesWhatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.names.set(func(n *fakeNameService) { n.workers = []*pb.Worker{worker("w1", "ACTIVE", "hash")} })
		g.collect()
		g.kill()
		g.collect()
		resp, err := g.client().GetStats(t.Context(), &pb.GetStatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		s := resp.GetStats()
		if len(s.GetMissing()) != 1 || s.GetDispatcher().GetRaft().GetTerm() != 3 || len(s.GetNameservice().GetWorkers()) != 1 {
			t.Errorf("with a dead dispatcher: got %v, want it missing, with its last words", s)
		}
	})
}

func TestWatchStatsSendsWhatDiffersAndNotMoreOftenThanAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.collect()
		stream, err := g.client().WatchStats(t.Context(), &pb.WatchStatsRequest{Interval: durationpb.New(5 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		submitted := func() uint64 {
			resp, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetStats().GetDispatcher().GetTasks().GetSubmitted()
		}
		if got := submitted(); got != 0 {
			t.Errorf("submitted at first: got %d, want 0", got)
		}
		begun := time.Now()
		for i := range uint64(3) { // a change each second
			g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: i + 1, Queued: i + 1} })
			time.Sleep(time.Second)
		}
		if got := submitted(); got != 3 {
			t.Errorf("submitted at second: got %d, want the newest, 3", got)
		}
		if took := time.Since(begun); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("between two answers: %v, want 5 s and at most the next collections", took)
		}
		// A minute in which nothing but time passes, and then something.
		time.AfterFunc(time.Minute, func() {
			g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 9, Queued: 9} })
		})
		begun = time.Now()
		if got := submitted(); got != 9 {
			t.Errorf("submitted at third: got %d, want 9", got)
		}
		if took := time.Since(begun); took < time.Minute {
			t.Errorf("an answer that says nothing new came after %v", took)
		}
	})
}

func TestWatchStatsRefusesAnIntervalOutsideTheRule(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		client := g.client()
		for _, interval := range []time.Duration{0, 99 * time.Millisecond, time.Hour + 1, -time.Second} {
			stream, err := client.WatchStats(t.Context(), &pb.WatchStatsRequest{Interval: durationpb.New(interval)})
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("interval %v: got %v, want InvalidArgument", interval, err)
			}
		}
	})
}

func TestWatchStatsEndsWithTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		stream, err := g.client().WatchStats(context.Background(), &pb.WatchStatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		g.stop()
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable {
			t.Errorf("end of the stream: got %v, want Unavailable", err)
		}
	})
}
