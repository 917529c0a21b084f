package monitoring

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	full "taskgrid/internal/bubble"
)

// streams returns how many streams of events the dispatcher has now, and how many it ever had.
func (g *grid) streams() (now, ever int) {
	synctest.Wait()
	g.dispatcher.mu.Lock()
	defer g.dispatcher.mu.Unlock()
	return g.dispatcher.watching, g.dispatcher.watched
}

func (g *grid) wantStreams(what string, now, ever int) {
	g.t.Helper()
	if n, all := g.streams(); n != now || all != ever {
		g.t.Errorf("%s: the dispatcher has %d streams of events and had %d, want %d and %d", what, n, all, now, ever)
	}
}

// TestAThousandReadersShareOneStreamFromTheDispatcher: as many as may be, of which half do not read.
func TestAThousandReadersShareOneStreamFromTheDispatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const events = 500
		g := newGrid(t, nsAddress)
		if !full.Full() {
			g.rest.events.limit = 100
		}
		readers := make([]*reader, g.rest.events.limit)
		for i := range readers {
			readers[i] = g.open("?since=0", "")
		}
		resp, body := g.get("/events?since=0")
		wantError(t, resp, body, http.StatusServiceUnavailable, "UNAVAILABLE", fmt.Sprintf("%d event streams are open, which is the limit", len(readers)))
		g.wantStreams("with a thousand readers", 1, 1)

		deaf, quick := readers[:len(readers)/2], readers[len(readers)/2:]
		begun := time.Now()
		g.dispatcher.happen(events)
		var reading sync.WaitGroup
		for i, r := range quick {
			reading.Go(func() { wantRun(t, fmt.Sprintf("reader %d", i), r.events(events), 1, events) })
		}
		reading.Wait()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%d events to those who read: took %v of virtual time", events, took)
		}
		g.wantStreams("when half of them have read", 1, 1)

		time.Sleep(2 * eventWriteTimeout)
		synctest.Wait()
		if got := g.rest.events.open.Load(); got != int64(len(quick)) {
			t.Errorf("open streams after a write took too long: got %d, want those %d that read", got, len(quick))
		}
		for i, r := range deaf {
			n := r.rest()
			again := g.open("?since=0", r.lastID)
			wantRun(t, fmt.Sprintf("reader %d, after it was cut off and resumed", i), again.events(events-n), uint64(n)+1, events)
		}
		g.wantStreams("when the others have resumed", 1, 1)
		for _, r := range readers {
			r.close()
		}
		g.dispatcher.happen(1)
	})
}

// rest reads until the stream ends and returns how many events of the grid came.
func (r *reader) rest() (n int) {
	for {
		m, ok := r.next()
		switch {
		case !ok:
			return n
		case m.name == "" && m.data != "":
			n++
		}
	}
}

func TestTheSharedStreamEndsWithItsLastReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(3)
		for i := range 3 {
			first, second := g.open("?since=0", ""), g.open("?since=0", "")
			synctest.Wait() // both share the stream before one of them leaves it
			wantRun(t, "the first", first.events(3), 1, 3)
			first.close()
			wantRun(t, "the second", second.events(3), 1, 3)
			g.wantStreams("with one reader left", 1, i+1)
			second.close()
			g.wantStreams("with none", 0, i+1)
		}
	})
}

// TestWhoIsBehindTheRingCatchesUpAlone: with a stream of his own, until he is where the others are.
func TestWhoIsBehindTheRingCatchesUpAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const old = 2 * 300
		g := newGrid(t, nsAddress)
		g.rest.events.hub.limit = 300
		g.dispatcher.happen(old)
		now := g.open("", "")
		_, _ = now.next()
		g.wantStreams("with a reader from now on", 1, 1)

		late := g.open("?since=7", "")
		wantRun(t, "what is old", late.events(old-7), 8, old)
		g.wantStreams("when he has caught up", 1, 2)
		sums := g.open("?type=sum", fmt.Sprint(old-10))
		if got := sums.events(5); got[0] != old-8 || got[4] != old {
			t.Errorf("the last five of type sum: got %v, want %d to %d", got, old-8, old)
		}
		g.dispatcher.happen(3)
		for what, r := range map[string]*reader{"now": now, "late": late} {
			wantRun(t, what, r.events(3), old+1, old+3)
		}
		if got := sums.events(1); got[0] != old+2 {
			t.Errorf("the next one of type sum: got %d, want %d", got[0], old+2)
		}
		g.wantStreams("when all share one", 1, 3)

		again := g.open("", fmt.Sprint(old))
		wantRun(t, "within the ring", again.events(3), old+1, old+3)
		g.wantStreams("when one has resumed within the ring", 1, 3)
	})
}

func TestWhoFallsBehindTheRingIsEndedAndMayResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.rest.events.hub.limit = 300
		quick, slow := g.open("?since=0", ""), g.open("?since=0", "")
		const n = 2000 // the slow one has at most two portions of 300 on the way
		for i := range uint64(n / 100) {
			g.dispatcher.happen(100)
			wantRun(t, "the quick one", quick.events(100), 100*i+1, 100*i+100)
			synctest.Wait()
		}
		var got []uint64
		for {
			m, ok := slow.next()
			if !ok {
				t.Fatalf("ended without a reason after %s", slow.lastID)
			}
			if m.name == "end" {
				if want := "resume after event " + slow.lastID; !strings.Contains(m.data, `"code":"RESOURCE_EXHAUSTED"`) || !strings.Contains(m.data, want) {
					t.Errorf("end: got %s, want RESOURCE_EXHAUSTED and %q", m.data, want)
				}
				break
			}
			if m.data != "" {
				got = append(got, uint64(len(got)+1))
			}
		}
		slow = g.open("?since=0", slow.lastID)
		got = append(got, slow.events(n-len(got))...)
		wantRun(t, "the slow one, with a break", got, 1, n)
	})
}

// TestANumberOfAnotherGridIsRefusedAndHarmsNobody: a reader names an event that there never was, while the dispatcher is
// away and after.
func TestANumberOfAnotherGridIsRefusedAndHarmsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(5)
		g.kill()
		g.collect()
		odd, good := g.open("?since=1000", ""), g.open("?since=2", "")
		g.startDispatcher()
		wantRun(t, "beside the odd one", good.events(3), 3, 5)
		odd2 := g.open("?since=1000", "")
		for what, r := range map[string]*reader{"while the dispatcher is away": odd, "later": odd2} {
			for {
				m, ok := r.next()
				if !ok {
					t.Fatalf("%s: ended without a reason", what)
				}
				if m.name == "end" {
					if !strings.Contains(m.data, "OUT_OF_RANGE") || !strings.Contains(m.data, "the newest event has number 5") {
						t.Errorf("%s: got %s", what, m.data)
					}
					break
				}
			}
		}
		g.dispatcher.happen(2)
		wantRun(t, "beside the odd one, later", good.events(2), 6, 7)
	})
}
