package monitoring

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

// message is one Server-Sent Event, or a comment.
type message struct{ name, id, data, comment string }

// reader reads a stream of events as a browser does.
type reader struct {
	t      *testing.T
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
	lastID string // as a browser keeps it, for Last-Event-ID
}

// open opens GET /events. It fails the test if that is not answered with a stream.
func (g *grid) open(query, lastEventID string) *reader {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // an event that never comes fails the test
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://monitoring/events"+query, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := g.http.Do(req)
	if err != nil {
		g.t.Fatalf("open %s: %v", query, err)
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		g.t.Fatalf("open %s: got %s, %s, want a stream", query, resp.Status, resp.Header.Get("Content-Type"))
	}
	r := &reader{t: g.t, resp: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	r.lines.Buffer(nil, 1<<20)
	g.t.Cleanup(r.close)
	return r
}

func (r *reader) close() {
	r.cancel()
	r.resp.Body.Close()
}

// next returns the next event or comment; ok is false when the stream ended.
func (r *reader) next() (m message, ok bool) {
	for r.lines.Scan() {
		line := r.lines.Text()
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			if m.id != "" { // only an event that is whole counts
				r.lastID = m.id
			}
			return m, true
		case field == "":
			m.comment = value
		case field == "id":
			m.id = value
		case field == "event":
			m.name = value
		case field == "data":
			m.data += value
		case field != "retry":
			r.t.Errorf("line %q: no field that a browser knows", line)
		}
	}
	return m, false
}

// events reads until it has n events of the grid, and checks that the id of each is the number in its data.
func (r *reader) events(n int) []uint64 {
	r.t.Helper()
	var got []uint64
	for len(got) < n {
		m, ok := r.next()
		if !ok {
			r.t.Fatalf("the stream ended after %d of %d events", len(got), n)
		}
		if m.data == "" || m.name != "" {
			continue
		}
		var e struct{ Sequence uint64 }
		if err := json.Unmarshal([]byte(m.data), &e); err != nil || fmt.Sprint(e.Sequence) != m.id {
			r.t.Fatalf("event %q with id %q: %v", m.data, m.id, err)
		}
		got = append(got, e.Sequence)
	}
	return got
}

// wantRun checks that got is first, first+1, … last.
func wantRun(t *testing.T, what string, got []uint64, first, last uint64) {
	t.Helper()
	if uint64(len(got)) != last-first+1 {
		t.Errorf("%s: got %d events %v, want %d to %d", what, len(got), got, first, last)
		return
	}
	for i, seq := range got {
		if seq != first+uint64(i) {
			t.Errorf("%s: got number %d at place %d, want %d", what, seq, i, first+uint64(i))
			return
		}
	}
}

func TestEventsCutAtAnyPointResumeExactly(t *testing.T) {
	const n = 40
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(n)
		for cut := 1; cut < n; cut++ {
			r := g.open("?since=0", "")
			got := r.events(cut)
			r.close()
			// A browser asks for the URL it began with, and names the last id it saw.
			r = g.open("?since=0", r.lastID)
			got = append(got, r.events(n-cut)...)
			r.close()
			wantRun(t, fmt.Sprintf("cut after %d", cut), got, 1, n)
		}
	})
}

func TestAStreamGoesOnWhenTheDispatcherReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(10)
		r := g.open("?since=4", "")
		got := r.events(6)
		for range 3 {
			g.kill()
			g.dispatcher.happen(5) // on another replica, say
			time.Sleep(3 * time.Second)
			g.startDispatcher()
			g.dispatcher.happen(5)
			got = append(got, r.events(10)...)
		}
		wantRun(t, "through three deaths of the dispatcher", got, 5, 40)
	})
}

func TestAReaderWithANumberIsLetInWhileTheDispatcherIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(10)
		g.kill()
		g.collect() // by then the broken connection is noticed
		r := g.open("?since=7", "")
		if m, _ := r.next(); m.id != "7" || m.data != "" {
			t.Errorf("the first event: got %+v, want id 7 and no data", m)
		}
		if m, _ := r.next(); !strings.Contains(m.comment, "the dispatcher does not answer: connection refused") {
			t.Errorf("while the dispatcher is away: got %+v, want a comment that says so", m)
		}
		g.startDispatcher()
		wantRun(t, "after it returned", r.events(3), 8, 10)
	})
}

func TestWithoutSinceTheStreamBeginsNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(10)
		r := g.open("", "")
		if m, _ := r.next(); m.id != "10" || m.data != "" {
			t.Errorf("the first event: got %+v, want id 10, to resume from, and no data", m)
		}
		g.dispatcher.happen(2)
		wantRun(t, "from now", r.events(2), 11, 12)
	})
}

func TestNowIsUnknownWhileNobodyLeads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(10)
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Raft = &pb.RaftStatus{Id: "d1", State: "candidate"} })
		resp, body := g.get("/events")
		wantError(t, resp, body, http.StatusServiceUnavailable, "UNAVAILABLE", "nobody leads")
		wantRun(t, "with a number", g.open("?since=5", "").events(5), 6, 10)
	})
}

func TestForgottenEventsAreGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(20)
		g.dispatcher.forget(15)
		for _, since := range []string{"0", "13"} {
			resp, body := g.get("/events?since=" + since)
			wantError(t, resp, body, http.StatusGone, "OUT_OF_RANGE", "the oldest there is has number 15")
		}
		wantRun(t, "from the oldest", g.open("?since=14", "").events(6), 15, 20)
	})
}

func TestAStreamWhoseEventsAreForgottenMeanwhileEndsWithTheReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(5)
		r := g.open("?since=0", "")
		wantRun(t, "before", r.events(5), 1, 5)
		g.kill()
		g.dispatcher.happen(20)
		g.dispatcher.forget(15)
		g.startDispatcher()
		for {
			m, ok := r.next()
			if !ok {
				t.Fatal("the stream ended without a reason")
			}
			if m.name != "end" {
				continue
			}
			if !strings.Contains(m.data, `"code":"OUT_OF_RANGE"`) || !strings.Contains(m.data, "number 15") || !strings.Contains(m.data, `"request_id":"`) {
				t.Errorf("end: got %s, want OUT_OF_RANGE and the oldest number", m.data)
			}
			break
		}
		if m, ok := r.next(); ok {
			t.Errorf("after the end: got %+v", m)
		}
	})
}

func TestAFilteredStreamHasOnlyItsEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(10)
		r := g.open("?since=0&type=sum", "")
		for i, seq := range r.events(5) {
			if want := uint64(2 * (i + 1)); seq != want {
				t.Errorf("event %d of type sum: got number %d, want %d", i, seq, want)
			}
		}
	})
}

func TestDocumentsComeInTheSameStreamWithoutAnID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.happen(3)
		g.collect()
		r := g.open("?since=3&with=stats,workers", "")
		seen := map[string]int{}
		for seen["stats"] < 3 || seen["workers"] < 3 {
			m, ok := r.next()
			if !ok {
				t.Fatal("the stream ended")
			}
			seen[m.name]++
			if m.name != "" && (m.id != "" || !json.Valid([]byte(m.data))) {
				t.Errorf("document: got %+v, want JSON without an id", m)
			}
		}
		if r.lastID != "3" {
			t.Errorf("the id to resume from, after documents only: got %q, want 3", r.lastID)
		}
	})
}

// TestAnEventIsNeverSentTwice has a dispatcher that begins each stream with events that were already sent.
func TestAnEventIsNeverSentTwice(t *testing.T) {
	f := &follower{last: 5}
	got := f.unseen([]*pb.Event{{Sequence: 4}, {Sequence: 5}, {Sequence: 6}, {Sequence: 8}})
	if len(got) != 2 || got[0].Sequence != 6 || got[1].Sequence != 8 {
		t.Errorf("events 4, 5, 6, 8 after 5: got %v, want 6 and 8", got)
	}
	if got := f.unseen([]*pb.Event{{Sequence: 5}}); got != nil {
		t.Errorf("event 5 after 5: got %v, want none", got)
	}
}
