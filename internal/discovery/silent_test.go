package discovery_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/client/fakegrid"
	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

// TestALeaderThatFellSilentIsLeft: its connection stands, and nothing comes over it.
func TestALeaderThatFellSilentIsLeft(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		w.first.FallSilent()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := w.conn.WaitTasks(ctx, &pb.WaitTasksRequest{Ids: []uint64{1}})
		if err != nil {
			t.Fatal(err)
		}
		ends := make(chan error, 2)
		go func() { _, err := stream.Recv(); ends <- err }()
		go func() { _, err := w.conn.GetTask(ctx, &pb.GetTaskRequest{Id: 1}); ends <- err }()
		time.Sleep(2 * time.Second)
		if len(ends) > 0 {
			t.Fatalf("a call ended though nobody else leads: %v", <-ends)
		}
		w.b.Announce("d2", d2, 2)
		begin := time.Now()
		for range cap(ends) {
			if err := <-ends; status.Code(err) != codes.Unavailable || discovery.Hint(err) != nil {
				t.Errorf("a call to the one that fell silent ended with %v; want UNAVAILABLE, and no word of that it was not done", err)
			}
		}
		if took := time.Since(begin); took > 150*time.Millisecond {
			t.Errorf("the calls ended %v after another one led, want about 0.1 s", took)
		}
		w.wantAnswer(t, "second", "afterwards")
	})
}

// A leader that hands over answers those who wait, if it gets the time to.
func TestALeaderThatWasSucceededMayStillAnswer(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.grid.Hold()
		if _, err := w.conn.SubmitTasks(t.Context(), &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "echo"}}}); err != nil {
			t.Fatal(err)
		}
		stream, err := w.conn.WaitTasks(t.Context(), &pb.WaitTasksRequest{Ids: []uint64{1}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.b.Announce("d2", d2, 2)
		time.Sleep(50 * time.Millisecond)
		w.grid.Release()
		if resp, err := stream.Recv(); err != nil || len(resp.Tasks) != 1 {
			t.Errorf("50 ms after another one led, the wait got %v, %v; want the task", resp, err)
		}
	})
}

// A name service may have gone with the machine of the leader: who comes then is not to wait for it.
func TestAHungNameServiceHoldsUpNoCallerWhoComes(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameB + ",10.0.0.3:50051"}, func(t *testing.T, w *world) {
		t.Cleanup(w.net.Hang("10.0.0.3:50051"))
		w.b.Announce("d1", d1, 1)
		begin := time.Now()
		w.wantAnswer(t, "first", "with a name service that hangs")
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("the first call took %v, want about 50ms", took)
		}
	})
}

// A lookup waits for name services that do not answer. What it brings then is older than what a watch has told meanwhile.
func TestALookupBringsNoFormerLeaderBack(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameB + ",10.0.0.3:50051"}, func(t *testing.T, w *world) {
		t.Cleanup(w.net.Hang("10.0.0.3:50051"))
		w.b.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		for n := range 10 {
			time.Sleep(730 * time.Millisecond) // in the middle of a lookup, now and then
			term := uint64(2 + n)
			address, who := d2, "second"
			if n%2 == 1 {
				address, who = d1, "first"
			}
			w.b.Announce(who, address, term)
			for range 30 {
				time.Sleep(50 * time.Millisecond)
				w.wantAnswer(t, who, "after its term began")
			}
		}
	})
}

func TestAHungNameServiceHoldsUpNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := fakegrid.NewNetwork()
		b := fakegrid.NewNameService()
		b.Announce("d1", d1, 1)
		t.Cleanup(net.Serve(nameB, nil, b))
		t.Cleanup(net.Hang(nameA))
		names, err := discovery.Open(nameA+","+nameB, "test", net.Option())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(names.Close)
		begin := time.Now()
		found, ok, err := names.Lookup(t.Context(), discovery.Dispatcher)
		if took := time.Since(begin); err != nil || !ok || found.Address != d1 || took > time.Second {
			t.Errorf("Lookup = %v, %v, %v after %v; want %s within a second", found, ok, err, took, d1)
		}
	})
}
