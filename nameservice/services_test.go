package nameservice_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"taskgrid/nameservice"
)

func TestAnnouncementsEndUnlessRepeated(t *testing.T) {
	r := newRegistry()
	announce := func(d time.Duration, id string, term uint64) {
		t.Helper()
		if err := r.Announce(at(d), "dispatcher", nameservice.Instance{ID: id, Address: id + ":50052", Term: term}); err != nil {
			t.Fatalf("announce %s: %v", id, err)
		}
	}
	expect := func(d time.Duration, want ...string) {
		t.Helper()
		var got []string
		for _, in := range r.LookupService(at(d), "dispatcher") {
			got = append(got, fmt.Sprintf("%s@%d", in.ID, in.Term))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("instances after %v (-want +got):\n%s", d, diff)
		}
	}
	announce(0, "d1", 1)
	announce(0, "d3", 2)
	announce(5*time.Second, "d2", 2)
	expect(5*time.Second, "d2@2", "d3@2", "d1@1")
	announce(6*time.Second, "d1", 3)
	expect(6*time.Second, "d1@3", "d2@2", "d3@2")
	expect(10*time.Second, "d1@3", "d2@2")
	expect(16 * time.Second)
	if got := r.LookupService(at(6*time.Second), "monitoring"); len(got) != 0 {
		t.Errorf("instances of another service: got %v, want none", got)
	}
}

func TestAnnouncementsAreBounded(t *testing.T) {
	r := nameservice.NewRegistry(times, nameservice.Limits{Workers: 1, Bytes: 1 << 20, Services: 2, Departures: 1}, start)
	for i, want := range []error{nil, nil, nameservice.ErrFull} {
		err := r.Announce(at(0), "dispatcher", nameservice.Instance{ID: fmt.Sprint("d", i), Address: "d:1"})
		if !errors.Is(err, want) {
			t.Errorf("announcement %d of at most 2: got %v, want %v", i+1, err, want)
		}
	}
	if err := r.Announce(at(0), "dispatcher", nameservice.Instance{ID: "d1", Address: "d:2"}); err != nil {
		t.Errorf("repeat an announcement in a full table: %v", err)
	}
}
