package nameservice_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// caller is a client's side of WatchService.
type caller struct {
	heard chan string // each message: "d1@2 d2@1"
	end   chan error
}

func watchService(t *testing.T, c pb.NameServiceClient, service string) *caller {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := c.WatchService(ctx, &pb.WatchServiceRequest{Service: service})
	if err != nil {
		t.Fatalf("watch %s: %v", service, err)
	}
	one := &caller{heard: make(chan string, 100), end: make(chan error, 1)}
	go func() {
		for {
			resp, err := stream.Recv()
			if err != nil {
				one.end <- err
				return
			}
			var said []string
			for _, in := range resp.Instances {
				said = append(said, fmt.Sprint(in.InstanceId, "@", in.Term))
			}
			one.heard <- strings.Join(said, " ")
		}
	}()
	return one
}

// expect checks what has been heard by now.
func (c *caller) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for len(c.heard) > 0 {
		got = append(got, <-c.heard)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%s: heard %q, want %q", when, got, want)
	}
}

func TestWhoWatchesAServiceHearsOfEachChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		announce := func(service, id string, term uint64) {
			t.Helper()
			if _, err := g.client.AnnounceService(t.Context(), &pb.AnnounceServiceRequest{Service: service, InstanceId: id, Address: id + ":1", Term: term}); err != nil {
				t.Fatal(err)
			}
		}
		c := watchService(t, g.client, "dispatcher")
		c.expect(t, "at the beginning", "")
		announce("dispatcher", "d1", 1)
		c.expect(t, "d1 leads", "d1@1")
		time.Sleep(5 * time.Second)
		announce("dispatcher", "d1", 1)
		c.expect(t, "d1 says so again")
		announce("monitoring", "m", 1)
		c.expect(t, "another service is announced")
		announce("dispatcher", "d2", 2)
		c.expect(t, "d2 leads", "d2@2 d1@1")
		time.Sleep(9900 * time.Millisecond)
		announce("dispatcher", "d2", 2)
		time.Sleep(200 * time.Millisecond)
		c.expect(t, "d1 has been silent for 10 s", "d2@2")
		time.Sleep(time.Minute)
		c.expect(t, "so has d2", "")
		watchService(t, g.client, "dispatcher").expect(t, "who comes later", "")
	})
}

func TestWatchersOfAServiceAreBoundedByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{MaxWatchers: 1})
		watchService(t, g.client, "dispatcher").expect(t, "the first", "")
		expectCode(t, "the second", <-watchService(t, g.client, "dispatcher").end, codes.ResourceExhausted)
		if got := g.watch(t, &pb.WatchWorkersRequest{}).recv(t); got != "snapshot" {
			t.Errorf("who watches the workers meanwhile got %q, want a snapshot", got)
		}
	})
}

func TestWatchersOfAServiceAreToldThatItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		expectCode(t, "a watch of no service", <-watchService(t, g.client, "").end, codes.InvalidArgument)
		c := watchService(t, g.client, "dispatcher")
		c.expect(t, "at the beginning", "")
		g.stop()
		expectCode(t, "a watch whose name service stops", <-c.end, codes.Unavailable)
	})
}
