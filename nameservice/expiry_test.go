package nameservice_test

import (
	"errors"
	"testing"
	"time"

	"taskgrid/nameservice"
)

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

func TestAPauseOfTheNameServiceIsNobodysSilence(t *testing.T) {
	for _, c := range []struct {
		before, pause, after time.Duration // of silence
		want                 string
	}{
		{0, time.Hour, 0, "active"},
		{2 * time.Second, time.Hour, 999 * time.Millisecond, "active"},
		{2 * time.Second, time.Hour, time.Second, "unhealthy"},
		{5 * time.Second, time.Hour, 0, "unhealthy"},
		{5 * time.Second, 20 * time.Second, 4999 * time.Millisecond, "unhealthy"},
		{5 * time.Second, 20 * time.Second, 5 * time.Second, "offline"},
		{30 * time.Second, time.Hour, 29 * time.Second, "offline"},
		{30 * time.Second, time.Hour, 30 * time.Second, ""},
	} {
		r := newRegistry()
		register(t, r, at(0), "a", "hash")
		r.Advance(at(c.before))
		r.Missed(at(c.before+c.pause), c.pause)
		if got := states(r, at(c.before+c.pause+c.after), "hash")["a"]; got != c.want {
			t.Errorf("silent for %v, then a pause of %v, then for %v: got %q, want %q", c.before, c.pause, c.after, got, c.want)
		}
	}
}

func TestNoMoreIsMissedThanTimeWentBy(t *testing.T) {
	r := newRegistry()
	register(t, r, at(0), "a", "hash")
	r.Advance(at(2 * time.Second))
	r.Missed(at(3*time.Second), time.Hour)
	r.Missed(at(3*time.Second), time.Hour)
	if got := states(r, at(4*time.Second), "hash")["a"]; got != "unhealthy" {
		t.Errorf("3 s of silence and a pause of 1 s: got %q, want unhealthy", got)
	}
}

func TestAPauseSettlesNothingAndEndsNoAnnouncement(t *testing.T) {
	r := newRegistry()
	if err := r.Announce(at(0), "dispatcher", nameservice.Instance{ID: "d1", Address: "d1:50052", Term: 1}); err != nil {
		t.Fatal(err)
	}
	r.Missed(at(time.Hour), time.Hour)
	if r.Settled(at(time.Hour)) {
		t.Error("settled by a pause in which no worker could register")
	}
	if got := r.LookupService(at(time.Hour+9*time.Second), "dispatcher"); len(got) != 1 {
		t.Errorf("announcements 9 s after the pause: got %d, want 1", len(got))
	}
	if got := r.LookupService(at(time.Hour+10*time.Second), "dispatcher"); len(got) != 0 {
		t.Errorf("announcements 10 s after the pause: got %d, want 0", len(got))
	}
}
