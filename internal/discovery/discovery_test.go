package discovery_test

import (
	"errors"
	"net/url"
	"strings"
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

func TestAMalformedListIsRefusedInWords(t *testing.T) {
	for _, list := range []string{"", "localhost", ":50051", "a:1,", "a:"} {
		if _, err := discovery.Open(list, "test"); err == nil || !strings.Contains(err.Error(), "nameservice:") || !strings.Contains(err.Error(), "host:port") {
			t.Errorf("Open(%q) = %v; want an error that names flag and rule", list, err)
		}
	}
}
