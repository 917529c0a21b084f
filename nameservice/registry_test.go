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

func TestSilenceLeadsFromActiveToForgotten(t *testing.T) {
	for _, c := range []struct {
		silence time.Duration
		want    string // "": not known
	}{
		{0, "active"},
		{2999 * time.Millisecond, "active"},
		{3 * time.Second, "unhealthy"},
		{9999 * time.Millisecond, "unhealthy"},
		{10 * time.Second, "offline"},
		{59999 * time.Millisecond, "offline"},
		{60 * time.Second, ""},
		{24 * time.Hour, ""},
	} {
		// Nobody sweeps between the heartbeat and the lookup: it is the lookup that judges.
		r := newRegistry()
		register(t, r, at(0), "a", "hash")
		heartbeat(t, r, at(time.Second), "a")
		if got := states(r, at(time.Second+c.silence), "hash")["a"]; got != c.want {
			t.Errorf("after %v of silence: got %q, want %q", c.silence, got, c.want)
		}
	}
}

func TestOneHeartbeatRevivesAllTypes(t *testing.T) {
	for _, silence := range []time.Duration{5 * time.Second, 30 * time.Second} {
		r := newRegistry()
		register(t, r, at(0), "a", "hash", "sum", "upper")
		r.Advance(at(silence))
		if got := heartbeat(t, r, at(silence), "a"); got != nameservice.Active {
			t.Errorf("heartbeat after %v: got %v, want active", silence, got)
		}
		for _, taskType := range []string{"hash", "sum", "upper"} {
			if got := r.Lookup(at(silence), taskType, false); len(got) != 1 {
				t.Errorf("active workers of %s after the revival: got %d, want 1", taskType, len(got))
			}
		}
	}
}

func TestLookupNeverExtendsALease(t *testing.T) {
	r := newRegistry()
	register(t, r, at(0), "a", "hash")
	for d := time.Duration(0); d < 3*time.Second; d += 100 * time.Millisecond {
		r.Lookup(at(d), "hash", true)
	}
	if got := r.Lookup(at(3*time.Second), "hash", false); len(got) != 0 {
		t.Errorf("active workers after 3 s of lookups and no heartbeat: got %d, want 0", len(got))
	}
}

func TestForgottenWorkerMustRegisterAgain(t *testing.T) {
	r := newRegistry()
	lease := register(t, r, at(0), "a", "hash")
	_, err := r.Heartbeat(at(time.Minute), lease, "a", 0, 0)
	if !errors.Is(err, nameservice.ErrUnknownLease) {
		t.Errorf("heartbeat after the worker was forgotten: got %v, want ErrUnknownLease", err)
	}
	if got := r.Counts().UnknownLeases; got != 1 {
		t.Errorf("unknown leases counted: got %d, want 1", got)
	}
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
	if err := r.SetDraining(at(0), "a", true); err != nil {
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
	if err := r.SetDraining(at(0), "a", true); err != nil {
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
	if err := r.SetDraining(at(5*time.Second), "a", false); err != nil {
		t.Fatal(err)
	}
	if got := heartbeat(t, r, at(5*time.Second), "a"); got != nameservice.Active {
		t.Errorf("no longer draining: got %v, want active", got)
	}
	if err := r.SetDraining(at(5*time.Second), "nobody", true); !errors.Is(err, nameservice.ErrUnknownWorker) {
		t.Errorf("drain an unknown worker: got %v, want ErrUnknownWorker", err)
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

func TestTimeNeverGoesBack(t *testing.T) {
	r := newRegistry()
	register(t, r, at(5*time.Second), "late", "hash")
	register(t, r, at(0), "early", "hash") // a call that was overtaken on its way to the lock
	for _, w := range r.Lookup(at(0), "hash", false) {
		if !w.LastHeartbeat.Equal(at(5 * time.Second)) {
			t.Errorf("%s was last heard at %v, want 5 s", w.ID, w.LastHeartbeat.Sub(start))
		}
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

func TestSettledWhenAWorkerWouldBeUnhealthy(t *testing.T) {
	r := newRegistry()
	if r.Settled(at(2999 * time.Millisecond)) {
		t.Error("settled before 3 s, want not")
	}
	version := r.Version()
	if !r.Settled(at(3 * time.Second)) {
		t.Error("not settled after 3 s, want settled")
	}
	if r.Version() == version {
		t.Error("settling was no change, want one")
	}
}

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

func TestTimesMustGrow(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*nameservice.Times)
		want string // "": valid
	}{
		{"the defaults", func(*nameservice.Times) {}, ""},
		{"no heartbeat", func(t *nameservice.Times) { t.HeartbeatInterval = 0 }, "heartbeat-interval: 0s: must be positive"},
		{"unhealthy too early", func(t *nameservice.Times) { t.UnhealthyAfter = time.Second },
			"unhealthy-after: 1s: must be longer than heartbeat-interval, 1s"},
		{"offline too early", func(t *nameservice.Times) { t.OfflineAfter = 2 * time.Second },
			"offline-after: 2s: must be longer than unhealthy-after, 3s"},
		{"forgotten too early", func(t *nameservice.Times) { t.ForgetAfter = -time.Second },
			"forget-after: -1s: must be longer than offline-after, 10s"},
	} {
		changed := times
		c.with(&changed)
		got := ""
		if err := changed.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
