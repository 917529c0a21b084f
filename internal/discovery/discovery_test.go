package discovery_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"taskgrid/client/fakegrid"
	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	nameA, nameB = "10.0.0.1:50051", "10.0.0.2:50051"
	d1, d2       = "10.0.1.1:50052", "10.0.1.2:50052"
)

// world is two name services and two dispatchers on a network in memory.
type world struct {
	net       *fakegrid.Network
	a, b      *fakegrid.NameService
	stopA     func()
	first     *fakegrid.Dispatcher
	stopFirst func()
	second    *fakegrid.Dispatcher
	grid      *fakegrid.Grid
	finder    *discovery.Finder
	conn      pb.DispatcherClient
}

func inWorld(t *testing.T, cfg discovery.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{net: fakegrid.NewNetwork(), a: fakegrid.NewNameService(), b: fakegrid.NewNameService()}
		w.grid = fakegrid.NewGrid(map[string]fakegrid.Handler{"echo": func(payload string) (string, error) { return payload, nil }})
		w.first, w.second = fakegrid.NewDispatcher(w.grid), fakegrid.NewDispatcher(w.grid)
		w.stopA = w.net.Serve(nameA, nil, w.a)
		w.stopFirst = w.net.Serve(d1, w.first, nil)
		t.Cleanup(w.stopA)
		t.Cleanup(w.stopFirst)
		t.Cleanup(w.net.Serve(nameB, nil, w.b))
		t.Cleanup(w.net.Serve(d2, w.second, nil))
		cfg.DialOptions = []grpc.DialOption{w.net.Option()}
		cfg.Sender = "test"
		finder, err := discovery.NewFinder(cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := finder.Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		w.finder, w.conn = finder, pb.NewDispatcherClient(conn)
		test(t, w)
	})
}

// ask calls a dispatcher and returns who answered: "first", "second" or "" and the error.
func (w *world) ask(t *testing.T) (string, error) {
	t.Helper()
	first, second := len(w.first.Calls()), len(w.second.Calls())
	_, err := w.conn.GetStatus(t.Context(), &pb.DispatcherGetStatusRequest{})
	switch {
	case err != nil:
		return "", err
	case len(w.first.Calls()) > first:
		return "first", nil
	case len(w.second.Calls()) > second:
		return "second", nil
	}
	return "", errors.New("nobody was asked")
}

func (w *world) wantAnswer(t *testing.T, want, when string) {
	t.Helper()
	if got, err := w.ask(t); got != want {
		t.Errorf("%s: %q answered (%v), want %q", when, got, err, want)
	}
}

var both = discovery.Config{NameServices: nameA + ", " + nameB}

func TestTheHighestTermOfAllNameServicesLeads(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 4)
		w.b.Announce("d2", d2, 5)
		w.wantAnswer(t, "second", "with term 4 at one name service and 5 at the other")
	})
}

func TestTheConnectionMovesToAHigherTermByItself(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		time.Sleep(3 * time.Second)
		w.b.Announce("d2", d2, 2)
		synctest.Wait()
		w.wantAnswer(t, "second", "as soon as term 2 began")
	})
}

// A grid that was started anew counts its terms from the beginning; then its leader changes.
func TestNobodyGoesBackToTheLeaderOfAFormerGrid(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 50)
		w.wantAnswer(t, "first", "in term 50")
		w.a.Forget()
		w.a.Announce("d2", d2, 1)
		time.Sleep(12 * time.Second)
		w.wantAnswer(t, "second", "12 s after the new grid began")
		w.a.Announce("d2", d2, 2)
		synctest.Wait()
		for range 60 {
			w.wantAnswer(t, "second", "in its term 2")
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestNameServicesThatCannotBeWatchedAreAskedEachSecond(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Old()
		w.b.Old()
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		time.Sleep(11500 * time.Millisecond)
		w.b.Announce("d2", d2, 2)
		time.Sleep(1100 * time.Millisecond)
		w.wantAnswer(t, "second", "1.1 s after term 2 began")
	})
}

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

func TestALostConnectionFindsTheNewLeaderWithinASecond(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		w.stopFirst()
		time.Sleep(10 * time.Second)
		w.a.Announce("d2", d2, 2)
		time.Sleep(1100 * time.Millisecond)
		w.wantAnswer(t, "second", "1.1 s after the new leader announced itself")
	})
}

func TestALeaderThatSucceedsALostOneIsFoundWithinATenthOfASecond(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		w.stopFirst()
		time.Sleep(time.Second)
		moved := w.finder.Moved()
		w.a.Announce("d2", d2, 2)
		time.Sleep(100 * time.Millisecond)
		select {
		case <-moved:
		default:
			t.Error("who waits for a new address was not told of it")
		}
		w.wantAnswer(t, "second", "0.1 s after the new leader announced itself")
	})
}

func TestAHintMovesTheConnectionAtOnce(t *testing.T) {
	inWorld(t, both, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.first.Follow(d2)
		_, err := w.ask(t)
		if hint := discovery.Hint(err); status.Code(err) != codes.Unavailable || hint.GetAddress() != d2 {
			t.Fatalf("a dispatcher that follows answered %v; want UNAVAILABLE with a hint", err)
		}
		synctest.Wait()
		w.wantAnswer(t, "second", "after the hint")
		time.Sleep(time.Minute)
		w.wantAnswer(t, "second", "a minute later, while the name service still tells of term 1")
	})
}

func TestWhatWasLearntStaysInUseWhileNobodyAnswers(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameA}, func(t *testing.T, w *world) {
		w.a.Announce("d1", d1, 1)
		w.wantAnswer(t, "first", "in term 1")
		w.a.Forget()
		time.Sleep(time.Minute)
		w.wantAnswer(t, "first", "a minute after the name service forgot it")
		w.stopA()
		time.Sleep(time.Minute)
		w.wantAnswer(t, "first", "a minute after the name service died")
	})
}

func TestADispatcherThatWasGivenIsUsedUntilANameServiceTellsOfAnother(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameA, Dispatcher: d1}, func(t *testing.T, w *world) {
		w.stopA()
		w.wantAnswer(t, "first", "without a name service")
		t.Cleanup(w.net.Serve(nameA, nil, w.b))
		w.b.Announce("d2", d2, 1)
		time.Sleep(3 * time.Second)
		w.wantAnswer(t, "second", "after a name service came that tells of another")
	})
}

func TestWithoutAnyAddressTheErrorSaysWhatWasTried(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameA}, func(t *testing.T, w *world) {
		_, err := w.ask(t)
		if want := "the name service knows no dispatcher that leads"; discovery.Reason(err) != want || !w.finder.Heard() {
			t.Errorf("with an empty name service: %v, heard %v; want %q", err, w.finder.Heard(), want)
		}
		w.stopA()
		time.Sleep(2 * time.Second)
		_, err = w.ask(t)
		if want := "name service " + nameA + ": connection refused"; discovery.Reason(err) != want || w.finder.Heard() {
			t.Errorf("without a name service: %q, heard %v; want %q", discovery.Reason(err), w.finder.Heard(), want)
		}
	})
}

// deafConn is a connection that asks for addresses and makes nothing of them.
type deafConn struct{ resolver.ClientConn }

func (deafConn) UpdateState(resolver.State) error { return nil }
func (deafConn) ReportError(error)                {}

func TestLookupsAreBoundedHoweverOftenTheConnectionFails(t *testing.T) {
	inWorld(t, discovery.Config{NameServices: nameA}, func(t *testing.T, w *world) {
		target, err := url.Parse(discovery.Target)
		if err != nil {
			t.Fatal(err)
		}
		search, err := w.finder.Build(resolver.Target{URL: *target}, deafConn{}, resolver.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer search.Close()
		for range 1000 {
			search.ResolveNow(resolver.ResolveNowOptions{}) // as grpc-go does at each failure
			time.Sleep(10 * time.Millisecond)
		}
		if n := w.a.Lookups(); n < 10 || n > 3*20+7*4+1 {
			t.Errorf("in 10 s the name service was asked %d times, want at most 20 times a second for 3 s and then 4", n)
		}
	})
}

func TestAnnounceTellsEveryNameServiceEachSecondAndANewTermAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := fakegrid.NewNetwork()
		a, b := fakegrid.NewNameService(), fakegrid.NewNameService()
		stopA := net.Serve(nameA, nil, a)
		t.Cleanup(net.Serve(nameB, nil, b))
		var term atomic.Uint64 // 0: it does not lead
		term.Store(3)
		var log strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- discovery.Announce(ctx, nameA+","+nameB, "d1", func() (string, error) { return d1, nil }, func() (uint64, bool) { n := term.Load(); return n, n > 0 },
				slog.New(slog.NewTextHandler(&log, nil)), net.Option())
		}()
		time.Sleep(9500 * time.Millisecond)
		if a.Announced() != 10 || b.Announced() != 10 {
			t.Errorf("after 9.5 s: %d and %d announcements, want 10 at each", a.Announced(), b.Announced())
		}
		term.Store(4)
		time.Sleep(100 * time.Millisecond)
		if b.Announced() != 11 {
			t.Errorf("100 ms after term 4 began, in the middle of a second: %d announcements, want 11", b.Announced())
		}
		stopA()
		term.Store(0)
		time.Sleep(10 * time.Second)
		if b.Announced() != 11 {
			t.Errorf("who does not lead made %d announcements more", b.Announced()-11)
		}
		term.Store(5)
		time.Sleep(5 * time.Second)
		t.Cleanup(net.Serve(nameA, nil, a))
		time.Sleep(5 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Announce = %v, want nil", err)
		}
		if strings.Count(log.String(), "level=WARN") != 1 || strings.Count(log.String(), "level=INFO") != 1 {
			t.Errorf("the log does not tell once of the silence and once of its end:\n%s", log.String())
		}
	})
}

// A container that was cut off from its network may come back under another address.
func TestAnnounceTellsTheAddressOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := fakegrid.NewNetwork()
		a := fakegrid.NewNameService()
		t.Cleanup(net.Serve(nameA, nil, a))
		var where atomic.Value
		where.Store(d1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- discovery.Announce(ctx, nameA, "d1", func() (string, error) {
				if where.Load() == "" {
					return "", errors.New("no route")
				}
				return where.Load().(string), nil
			}, func() (uint64, bool) { return 1, true }, slog.New(slog.DiscardHandler), net.Option())
		}()
		for _, step := range []struct{ at, want string }{{d1, d1}, {"", d1}, {d2, d2}} {
			where.Store(step.at)
			time.Sleep(2 * time.Second)
			resp, err := a.LookupService(ctx, &pb.LookupServiceRequest{Service: discovery.Dispatcher})
			if err != nil || resp.Instances[0].Address != step.want {
				t.Errorf("at %q it is announced under %v, %v; want %s", step.at, resp.GetInstances(), err, step.want)
			}
		}
		cancel()
		<-done
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

func TestAMalformedListIsRefusedInWords(t *testing.T) {
	for _, list := range []string{"", "localhost", ":50051", "a:1,", "a:"} {
		if _, err := discovery.Open(list, "test"); err == nil || !strings.Contains(err.Error(), "nameservice:") || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("Open(%q) = %v; want an error that names flag and rule", list, err)
		}
	}
}
