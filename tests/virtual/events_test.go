package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"taskgrid/dispatcher"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/witness"
)

// drama makes a bit of everything happen, and returns when it has.
func drama(g *Grid) {
	var ids []uint64
	for range 3 {
		ids = append(ids, g.Submit("reverse", "ab"), g.Submit("wait", "1"), g.Submit("wait", "nonsense"))
	}
	cancelled := g.Submit("wait", "100")
	g.AwaitState(cancelled, pb.TaskState_TASK_STATE_PROCESSING)
	if _, err := g.Client().Cancel(g.Context(), "enough", cancelled); err != nil {
		g.t.Error(err)
	}
	lost := g.Submit("wait", "3")
	g.AwaitState(lost, pb.TaskState_TASK_STATE_PROCESSING)
	g.StartWorker("passing", Builtin("reverse")).Kill()
	g.Wait(append(ids, cancelled, lost)...)
}

// readEvents reads what there is after an event.
func readEvents(t *testing.T, api pb.DispatcherClient, since uint64) (events []*pb.Event) {
	t.Helper()
	stream, err := api.WatchEvents(t.Context(), &pb.WatchEventsRequest{Since: since, NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatalf("events since %d: %v", since, err)
		}
		events = append(events, resp.Events...)
	}
}

func TestTheEventsCutAndResumedAnywhereAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "wait")
		drama(g)
		api := d.API()
		all := readEvents(t, api, 0)
		judge := checker.New(checker.Limits{})
		for _, e := range all {
			judge.Add(witness.Event(e))
		}
		if err := judge.Verdict(); err != nil {
			t.Fatal(err)
		}
		for _, id := range judge.Tasks() {
			if path := judge.Path(id); !path[len(path)-1].Terminal() {
				t.Errorf("task %d ends in %v", id, path)
			}
		}
		for since := range all {
			rest := readEvents(t, api, uint64(since))
			if len(rest) != len(all)-since || !proto.Equal(rest[0], all[since]) {
				t.Fatalf("resumed after event %d: %d events that begin with %v, want %d that begin with %v",
					since, len(rest), rest[0], len(all)-since, all[since])
			}
		}
		if rest := readEvents(t, api, uint64(len(all))); len(rest) != 0 {
			t.Errorf("after the last event there are %v", rest)
		}
	})
}

func TestAWatcherThatIsCutOffAgainAndAgainMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "wait")
		api := d.API()
		played := make(chan struct{})
		go func() {
			defer close(played)
			drama(g)
		}()
		var watched []*pb.Event
		for round := 1; ; round++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			stream, err := api.WatchEvents(ctx, &pb.WatchEventsRequest{Since: uint64(len(watched))})
			if err != nil {
				t.Fatal(err)
			}
			for range round%3 + 1 { // messages until it is cut
				resp, err := stream.Recv()
				if err != nil {
					break
				}
				watched = append(watched, resp.Events...)
			}
			cancel()
			select {
			case <-played:
			default:
				continue
			}
			break
		}
		watched = append(watched, readEvents(t, api, uint64(len(watched)))...)
		if diff := cmp.Diff(readEvents(t, api, 0), watched, protocmp.Transform()); diff != "" {
			t.Errorf("in pieces (+) it is not the same as at once (-):\n%s", diff)
		}
	})
}

func TestTheEventsGoOnThroughARestart(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, d := Start(t, "reverse", "wait")
				judge := checker.New(checker.Limits{})
				ctx, cancel := context.WithCancel(g.Context())
				watched := make(chan struct{})
				go func() {
					defer close(watched)
					for e, err := range g.Client().Events(ctx, &pb.WatchEventsRequest{}) {
						if ctx.Err() != nil {
							return
						}
						if err != nil {
							t.Errorf("watching: %v", err)
							return
						}
						judge.Add(witness.Event(e))
					}
				}()
				id := g.Submit("wait", "5")
				g.AwaitState(id, pb.TaskState_TASK_STATE_PROCESSING)
				before := g.LastEvent()
				end(d)
				d = d.Restart()
				if first := readEvents(t, d.API(), 0); uint64(len(first)) < before {
					t.Errorf("after the restart there are %d events, before there were %d", len(first), before)
				}
				g.WaitOne(id)
				last := g.LastEvent()
				time.Sleep(time.Second)
				cancel()
				<-watched
				if err := judge.Verdict(); err != nil {
					t.Error(err)
				}
				if judge.LastEvent() < last {
					t.Errorf("the watcher saw %d events of %d", judge.LastEvent(), last)
				}
			})
		})
	}
}

func TestEventsThatAreForgottenAreRefusedWithTheOldestNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(t)
		g.StartNameService()
		d := g.StartDispatcher(func(c *dispatcher.Config) { c.KeepEvents = 10 })
		g.StartWorker("w", Builtin("reverse"))
		api := d.API()
		for {
			st, err := api.GetStatus(t.Context(), &pb.DispatcherGetStatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Workers) == 1 && st.Workers[0].Connected {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		for range 10 {
			g.WaitOne(g.Submit("reverse", "ab"))
		}
		st := g.Status()
		if st.LastEvent-st.FirstEvent+1 != 10 {
			t.Fatalf("events %d to %d are kept, want 10", st.FirstEvent, st.LastEvent)
		}
		stream, err := api.WatchEvents(t.Context(), &pb.WatchEventsRequest{Since: st.FirstEvent - 2})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.OutOfRange || !strings.Contains(err.Error(), fmt.Sprintf("the oldest there is has number %d", st.FirstEvent)) {
			t.Errorf("got %v, want OUT_OF_RANGE that names %d", err, st.FirstEvent)
		}
		if events := readEvents(t, api, st.FirstEvent-1); len(events) != 10 {
			t.Errorf("from the oldest on: %d events, want 10", len(events))
		}
	})
}

func TestTheEventsOfOneTaskAreItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, d := Start(t, "reverse", "wait")
		drama(g)
		for id := uint64(1); id <= 11; id++ {
			stream, err := d.API().WatchEvents(t.Context(), &pb.WatchEventsRequest{TaskId: id, NoFollow: true})
			if err != nil {
				t.Fatal(err)
			}
			var steps []*pb.Transition
			for {
				resp, err := stream.Recv()
				if err != nil {
					break
				}
				for _, e := range resp.Events {
					s := e.GetTask()
					steps = append(steps, &pb.Transition{Time: e.Time, From: s.From, To: s.To, Attempt: s.Attempt, WorkerId: s.WorkerId, Reason: s.Reason})
				}
			}
			if diff := cmp.Diff(g.Get(id).History, steps, protocmp.Transform()); diff != "" {
				t.Errorf("task %d: history (-), events (+):\n%s", id, diff)
			}
		}
	})
}
