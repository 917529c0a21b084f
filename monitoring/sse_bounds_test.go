package monitoring

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestASilentStreamHasHeartbeats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		r := g.open("", "")
		_, _ = r.next()
		begun := time.Now()
		for range 3 {
			if m, ok := r.next(); !ok || m.comment != "heartbeat" {
				t.Fatalf("got %+v, want a heartbeat", m)
			}
		}
		if took := time.Since(begun); took != 3*heartbeat {
			t.Errorf("three heartbeats: took %v, want %v", took, 3*heartbeat)
		}
	})
}

func TestAReaderWhoDoesNotReadIsCutOffAndDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		slow := g.open("?since=0", "") // reads nothing
		quick := g.open("?since=0", "")
		begun := time.Now()
		g.dispatcher.happen(1000)
		wantRun(t, "the quick reader", quick.events(1000), 1, 1000)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("1000 events beside a reader who does not read: took %v of virtual time", took)
		}
		time.Sleep(2 * eventWriteTimeout)
		synctest.Wait()
		if got := g.rest.events.open.Load(); got != 1 {
			t.Errorf("open streams after a write took too long: got %d, want the quick one only", got)
		}
		var n int
		for {
			if m, ok := slow.next(); !ok {
				break
			} else if m.data != "" {
				n++
			}
		}
		slow = g.open("?since=0", slow.lastID)
		wantRun(t, "the slow reader, after it was cut off and resumed", slow.events(1000-n), uint64(n)+1, 1000)
	})
}

func TestMoreStreamsThanTheLimitAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.rest.events.limit = 3
		var last *reader
		for range 3 {
			last = g.open("?since=0", "")
		}
		resp, body := g.get("/events?since=0")
		wantError(t, resp, body, http.StatusServiceUnavailable, "UNAVAILABLE", "3 event streams are open, which is the limit")
		last.close()
		g.dispatcher.happen(1)
		synctest.Wait()
		g.open("?since=0", "").events(1)
	})
}

func TestStreamsEndWithTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		r := g.open("?with=stats", "")
		_, _ = r.next()
		begun := time.Now()
		g.stop()
		if took := time.Since(begun); took > 100*time.Millisecond {
			t.Errorf("stopping with an open stream: took %v, want next to nothing of the grace, 1 s", took)
		}
	})
}
