package nameservice_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"taskgrid/nameservice"
)

// start is when every registry of these tests begins; at(d) is d later.
var start = time.Unix(1_700_000_000, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

var limits = nameservice.Limits{Workers: 100, Bytes: 1 << 20, Services: 10, Departures: 100}

func newRegistry() *nameservice.Registry { return nameservice.NewRegistry(times, limits, start) }

// describe returns a registration that breaks no rule.
func describe(id string, types ...string) *nameservice.Registration {
	return &nameservice.Registration{ID: id, Types: types, Address: "10.0.0.7:50060", Capacity: 4}
}

// register enters a worker under the lease "leaseof" + id.
func register(t testing.TB, r *nameservice.Registry, now time.Time, id string, types ...string) (lease string) {
	t.Helper()
	lease = "leaseof" + id
	if _, err := r.Register(now, nameservice.Application{Registration: describe(id, types...), FreshLease: lease}); err != nil {
		t.Fatalf("register %s: %v", id, err)
	}
	return lease
}

func heartbeat(t testing.TB, r *nameservice.Registry, now time.Time, id string) nameservice.State {
	t.Helper()
	state, err := r.Heartbeat(now, "leaseof"+id, id, 0, 0)
	if err != nil {
		t.Fatalf("heartbeat of %s: %v", id, err)
	}
	return state
}

// states returns the states of all workers of a type, by id.
func states(r *nameservice.Registry, now time.Time, taskType string) map[string]string {
	found := map[string]string{}
	for _, w := range r.Lookup(now, taskType, true) {
		found[w.ID] = w.State.String()
	}
	return found
}

func TestHeartbeatWithTheLeaseOfAnotherWorkerIsRefused(t *testing.T) {
	r := newRegistry()
	lease := register(t, r, at(0), "a", "hash")
	register(t, r, at(0), "b", "hash")
	if _, err := r.Heartbeat(at(0), lease, "b", 0, 0); !errors.Is(err, nameservice.ErrUnknownLease) {
		t.Errorf("heartbeat of b under a's lease: got %v, want ErrUnknownLease", err)
	}
}

func TestSecondRegistrationReplacesTheFirst(t *testing.T) {
	r := newRegistry()
	old := register(t, r, at(0), "a", "hash", "sum")
	second := describe("a", "sum")
	second.Address = "10.0.0.8:50060"
	got, err := r.Register(at(time.Second), nameservice.Application{Registration: second, FreshLease: "anotherlease"})
	want := nameservice.Registered{Lease: "anotherlease", Replaced: "10.0.0.7:50060"}
	if err != nil || got != want {
		t.Fatalf("second registration: got %+v, %v, want %+v", got, err, want)
	}
	if _, err := r.Heartbeat(at(time.Second), old, "a", 0, 0); !errors.Is(err, nameservice.ErrUnknownLease) {
		t.Errorf("heartbeat under the old lease: got %v, want ErrUnknownLease", err)
	}
	if _, err := r.Heartbeat(at(time.Second), "anotherlease", "a", 0, 0); err != nil {
		t.Errorf("heartbeat under the new lease: %v", err)
	}
	if got := r.Lookup(at(time.Second), "hash", true); len(got) != 0 {
		t.Errorf("workers of the type that only the first one had: got %d, want 0", len(got))
	}
	if all := r.Lookup(at(time.Second), "", true); len(all) != 1 || all[0].Address != "10.0.0.8:50060" {
		t.Errorf("workers: got %+v, want the second one only", all)
	}
	r.Deregister(at(time.Second), old)
	if got := len(r.Lookup(at(time.Second), "", true)); got != 1 {
		t.Errorf("workers after the first one deregistered: got %d, want 1: its lease is dead", got)
	}
}

func TestWorkerBringsItsLease(t *testing.T) {
	r := newRegistry()
	got, err := r.Register(at(0), nameservice.Application{Registration: describe("a", "hash"), Lease: "broughtalong", FreshLease: "freshlease"})
	if err != nil || got.Lease != "broughtalong" {
		t.Fatalf("register with an own lease: got %+v, %v, want that lease", got, err)
	}
	_, err = r.Register(at(0), nameservice.Application{Registration: describe("b", "hash"), Lease: "broughtalong"})
	if !errors.Is(err, nameservice.ErrInvalid) {
		t.Errorf("register another worker under the same lease: got %v, want ErrInvalid", err)
	}
}

func TestRegisteringAgainUnderTheOwnLeaseGoesOn(t *testing.T) {
	r := newRegistry()
	lease := register(t, r, at(0), "a", "hash")
	if err := r.SetDraining(at(0), "a", "", true); err != nil {
		t.Fatal(err)
	}
	version := r.Version()
	if _, err := r.Register(at(time.Second), nameservice.Application{Registration: describe("a", "hash"), Lease: lease}); err != nil {
		t.Fatal(err)
	}
	if r.Version() != version {
		t.Errorf("the same said again: got %d changes, want none", r.Version()-version)
	}
	w := r.Lookup(at(time.Second), "", true)[0]
	if w.State != nameservice.Draining || !w.Registered.Equal(at(0)) || !w.LastHeartbeat.Equal(at(time.Second)) {
		t.Errorf("after registering again: got %+v, want draining, registered at 0 s, heard at 1 s", w)
	}
	if _, err := r.Register(at(time.Second), nameservice.Application{Registration: describe("a", "hash", "sum"), Lease: lease}); err != nil {
		t.Fatal(err)
	}
	if got := states(r, at(time.Second), "sum"); got["a"] != "draining" {
		t.Errorf("after registering again with another type: got %v, want it there", got)
	}
}

func TestDrainingIsKeptThroughSilence(t *testing.T) {
	r := newRegistry()
	register(t, r, at(0), "a", "hash")
	if err := r.SetDraining(at(0), "a", "", true); err != nil {
		t.Fatal(err)
	}
	if got := r.Lookup(at(0), "hash", false); len(got) != 0 {
		t.Errorf("active workers while it drains: got %d, want 0", len(got))
	}
	if got := states(r, at(5*time.Second), "hash")["a"]; got != "unhealthy" {
		t.Errorf("draining and silent for 5 s: got %s, want unhealthy", got)
	}
	if got := heartbeat(t, r, at(5*time.Second), "a"); got != nameservice.Draining {
		t.Errorf("revived: got %v, want draining", got)
	}
	if err := r.SetDraining(at(5*time.Second), "a", "", false); err != nil {
		t.Fatal(err)
	}
	if got := heartbeat(t, r, at(5*time.Second), "a"); got != nameservice.Active {
		t.Errorf("no longer draining: got %v, want active", got)
	}
	if err := r.SetDraining(at(5*time.Second), "nobody", "", true); !errors.Is(err, nameservice.ErrUnknownWorker) {
		t.Errorf("drain an unknown worker: got %v, want ErrUnknownWorker", err)
	}
}

// What a worker said before it was killed may arrive after it was started again.
func TestADrainingProcessDoesNotMarkTheOneAfterIt(t *testing.T) {
	r := newRegistry()
	former := register(t, r, at(0), "a", "hash")
	const lease = "theoneafterit"
	if _, err := r.Register(at(time.Second), nameservice.Application{Registration: describe("a", "hash"), Lease: lease}); err != nil {
		t.Fatal(err)
	}
	if err := r.SetDraining(at(time.Second), "a", former, true); !errors.Is(err, nameservice.ErrUnknownLease) {
		t.Errorf("the former process drains: got %v, want ErrUnknownLease", err)
	}
	if got := states(r, at(time.Second), "hash")["a"]; got != "active" {
		t.Errorf("the one after it: got %s, want active", got)
	}
	if err := r.SetDraining(at(time.Second), "a", lease, true); err != nil {
		t.Fatal(err)
	}
	if got := states(r, at(time.Second), "hash")["a"]; got != "draining" {
		t.Errorf("it drains itself: got %s, want draining", got)
	}
}

func TestDeregisterIsIdempotent(t *testing.T) {
	r := newRegistry()
	lease := register(t, r, at(0), "a", "hash")
	if got := r.Deregister(at(0), lease); got != "a" {
		t.Errorf("deregister: got %q, want a", got)
	}
	if got := r.Deregister(at(0), lease); got != "" {
		t.Errorf("deregister again: got %q, want nothing", got)
	}
	if got := len(r.Lookup(at(0), "", true)); got != 0 {
		t.Errorf("workers afterwards: got %d, want 0", got)
	}
}

func TestLookupIsInTheOrderOfWorkerID(t *testing.T) {
	r := newRegistry()
	for _, id := range []string{"c", "a", "b10", "b2"} {
		register(t, r, at(0), id, "hash")
	}
	var got []string
	for _, w := range r.Lookup(at(0), "hash", false) {
		got = append(got, w.ID)
	}
	if diff := cmp.Diff([]string{"a", "b10", "b2", "c"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFullTableRefusesNewWorkersOnly(t *testing.T) {
	r := nameservice.NewRegistry(times, nameservice.Limits{Workers: 2, Bytes: 1 << 20, Services: 1, Departures: 10}, start)
	register(t, r, at(0), "a", "hash")
	register(t, r, at(0), "b", "hash")
	_, err := r.Register(at(0), nameservice.Application{Registration: describe("c", "hash"), FreshLease: "leaseofc"})
	if !errors.Is(err, nameservice.ErrFull) {
		t.Errorf("a third worker of two: got %v, want ErrFull", err)
	}
	register(t, r, at(0), "b", "sum")

	heartbeat(t, r, at(9*time.Second), "b")
	register(t, r, at(11*time.Second), "c", "hash") // a is offline and gives way
	if diff := cmp.Diff(map[string]string{"b": "active", "c": "active"}, states(r, at(11*time.Second), "")); diff != "" {
		t.Errorf("workers after the offline one gave way (-want +got):\n%s", diff)
	}
}

func TestTableIsBoundedInBytes(t *testing.T) {
	r := nameservice.NewRegistry(times, nameservice.Limits{Workers: 1000, Bytes: 10_000, Services: 1, Departures: 10}, start)
	big := func(id string) nameservice.Application {
		reg := describe(id, "hash")
		reg.Labels = map[string]string{"about": strings.Repeat("x", 255)}
		return nameservice.Application{Registration: reg, FreshLease: "leaseof" + id}
	}
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = r.Register(at(0), big(fmt.Sprint("w", n)))
	}
	if !errors.Is(err, nameservice.ErrFull) || n < 10 || n > 30 {
		t.Fatalf("workers of some 450 bytes in a table of 10,000: %v after %d, want ErrFull after some 20", err, n)
	}
	r.Deregister(at(0), "leaseofw0")
	if _, err := r.Register(at(0), big("w0")); err != nil {
		t.Errorf("register after another one left: %v", err)
	}
}
