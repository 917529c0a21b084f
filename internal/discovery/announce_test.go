package discovery_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"taskgrid/client/fakegrid"
	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

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
