package monitoring

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// get asks for a path and returns the answer with its whole body.
func (g *grid) get(path string, header ...string) (*http.Response, string) {
	g.t.Helper()
	return g.do(http.MethodGet, path, nil, header...)
}

func (g *grid) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a stream where an answer is expected fails the test
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://monitoring"+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := g.http.Do(req)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(text)
}

// wantError checks that an answer is an error in JSON that says what it should.
func wantError(t *testing.T, resp *http.Response, body string, status int, code, says string) {
	t.Helper()
	var e map[string]string
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%s: got %d %q, want an error in JSON", resp.Request.URL, resp.StatusCode, body)
	}
	if resp.StatusCode != status || e["code"] != code || !strings.Contains(e["message"], says) {
		t.Errorf("%s %s: got %d %s, want %d %s that says %q", resp.Request.Method, resp.Request.URL, resp.StatusCode, body, status, code, says)
	}
	if len(e) != 3 || e["request_id"] == "" || e["request_id"] != resp.Header.Get("X-Request-Id") {
		t.Errorf("%s: got %s with X-Request-Id %q, want code, message and that request_id", resp.Request.URL, body, resp.Header.Get("X-Request-Id"))
	}
}

func TestStatsAnswerWhateverIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) { d.status.Tasks = &pb.TaskCounts{Submitted: 2, Completed: 2} })
		g.collect()
		g.kill()
		g.killNames()
		g.collect()
		resp, body := g.get("/stats")
		var s Stats
		if err := json.Unmarshal([]byte(body), &s); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("/stats with all others dead: got %d %s", resp.StatusCode, body)
		}
		if len(s.Missing) != 2 || s.Tasks.Completed != 2 {
			t.Errorf("/stats with all others dead: got %s, want both missing and the last counts", body)
		}
	})
}

func TestWorkersShowAddressesAndNoLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		w := worker("w1", "ACTIVE", "hash")
		w.Load = float32(math.NaN())
		g.names.set(func(n *fakeNameService) { n.workers = []*pb.Worker{w} })
		g.collect()
		resp, body := g.get("/workers")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"address":"10.1.0.1:50060"`) {
			t.Errorf("/workers: got %d %s, want the address", resp.StatusCode, body)
		}
		for _, path := range []string{"/workers", "/stats", "/metrics"} {
			if _, body := g.get(path); strings.Contains(body, "lease-of") {
				t.Errorf("%s tells a lease: %s", path, body)
			}
		}
	})
}

func TestTasksAreListedAsAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) {
			d.tasks = []*pb.Task{
				{Id: 2, Type: "hash", State: pb.TaskState_TASK_STATE_COMPLETED, Result: proto.String("")},
				{Id: 1, Type: "hash", State: pb.TaskState_TASK_STATE_FAILED, Error: "<b>bad</b>"},
			}
		})
		resp, body := g.get("/tasks?state=FAILED,QUEUED&type=hash&limit=1&page_token=p&text=x&view=basic")
		var list struct {
			Tasks         []map[string]any
			NextPageToken string `json:"next_page_token"`
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
		if len(list.Tasks) != 1 || list.Tasks[0]["id"] != 2.0 || list.Tasks[0]["result"] != "" || list.NextPageToken != "1" {
			t.Errorf("page of one: got %s, want task 2 with its empty result and a next page", body)
		}
		want := &pb.ListTasksRequest{
			States: []pb.TaskState{pb.TaskState_TASK_STATE_FAILED, pb.TaskState_TASK_STATE_QUEUED}, Type: "hash", Text: "x",
			PageSize: 1, PageToken: "p", View: pb.TaskView_TASK_VIEW_BASIC,
		}
		if !proto.Equal(want, g.dispatcher.listed) {
			t.Errorf("the dispatcher was asked %v, want %v", g.dispatcher.listed, want)
		}
		if _, body := g.get("/tasks"); strings.Contains(body, "next_page_token") || !strings.Contains(body, "<b>bad</b>") {
			t.Errorf("whole list: got %s, want no next page, and the text as it is", body)
		}
		resp, body = g.get("/tasks?page_token=forged")
		wantError(t, resp, body, http.StatusBadRequest, "INVALID_ARGUMENT", "must be one of ours")
	})
}

func TestOneTaskCarriesTheRequestIDToTheDispatcher(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.dispatcher.set(func(d *fakeDispatcher) { d.tasks = []*pb.Task{{Id: 7, Type: "sum"}} })
		resp, body := g.get("/tasks/7", "X-Request-Id", "lecture-1")
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"id":7`) || resp.Header.Get("X-Request-Id") != "lecture-1" {
			t.Errorf("/tasks/7: got %d %s with request id %q", resp.StatusCode, body, resp.Header.Get("X-Request-Id"))
		}
		if !slices.Equal(g.dispatcher.requestIDs, []string{"lecture-1"}) {
			t.Errorf("request ids at the dispatcher: got %q, want lecture-1", g.dispatcher.requestIDs)
		}
		for _, odd := range []string{strings.Repeat("x", 129), "two words", "ä"} {
			if resp, _ := g.get("/tasks/7", "X-Request-Id", odd); resp.Header.Get("X-Request-Id") == odd || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("X-Request-Id %q: got %q, want a new one", odd, resp.Header.Get("X-Request-Id"))
			}
		}
	})
}

func TestWhatIsWrongIsSaidInJSON(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		code, says         string
	}{
		{method: "GET", path: "/nothing", status: 404, code: "NOT_FOUND", says: "/nothing: no such path"},
		{method: "GET", path: "/page/app.js", status: 404, code: "NOT_FOUND", says: "no such path"},
		{method: "GET", path: "/stats/", status: 404, code: "NOT_FOUND", says: "no such path"},
		{method: "GET", path: "/tasks/99", status: 404, code: "NOT_FOUND", says: "task 99"},
		{method: "GET", path: "/tasks/0", status: 400, code: "INVALID_ARGUMENT", says: `id: "0"`},
		{method: "GET", path: "/tasks/x", status: 400, code: "INVALID_ARGUMENT", says: `id: "x"`},
		{method: "GET", path: "/tasks?limit=0", status: 400, code: "INVALID_ARGUMENT", says: "limit"},
		{method: "GET", path: "/tasks?text=%ff", status: 400, code: "INVALID_ARGUMENT", says: "valid UTF-8"},
		{method: "GET", path: "/tasks?colour=red", status: 400, code: "INVALID_ARGUMENT", says: "colour: no such query parameter"},
		{method: "GET", path: "/tasks/1?view=basic", status: 400, code: "INVALID_ARGUMENT", says: "none is known here"},
		{method: "GET", path: "/stats?x=1", status: 400, code: "INVALID_ARGUMENT", says: "x: no such"},
		{method: "GET", path: "/workers?x=1", status: 400, code: "INVALID_ARGUMENT", says: "x: no such"},
		{method: "GET", path: "/readyz?x=1", status: 400, code: "INVALID_ARGUMENT", says: "x: no such"},
		{method: "GET", path: "/events?since=x", status: 400, code: "INVALID_ARGUMENT", says: "since"},
		{method: "GET", path: "/stats", body: "{}", status: 400, code: "INVALID_ARGUMENT", says: "body"},
		{method: "POST", path: "/tasks", body: "{}", status: 405, code: "UNIMPLEMENTED", says: "POST /tasks: only GET, HEAD here"},
		{method: "DELETE", path: "/tasks/1", status: 405, code: "UNIMPLEMENTED", says: "DELETE"},
		{method: "POST", path: "/", status: 405, code: "UNIMPLEMENTED", says: "POST /"},
		{method: "POST", path: "/events", status: 405, code: "UNIMPLEMENTED", says: "only GET here"},
		{method: "OPTIONS", path: "/stats", status: 405, code: "UNIMPLEMENTED", says: "OPTIONS"},
	}
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.collect()
		for _, tt := range tests {
			var body io.Reader
			if tt.body != "" {
				body = strings.NewReader(tt.body)
			}
			resp, text := g.do(tt.method, tt.path, body)
			wantError(t, resp, text, tt.status, tt.code, tt.says)
			if tt.status == http.StatusMethodNotAllowed && resp.Header.Get("Allow") == "" {
				t.Errorf("%s %s: got no Allow header", tt.method, tt.path)
			}
		}
	})
}

func TestADeadOrHungDispatcherIsSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.kill()
		g.collect() // by then the broken connection is noticed
		for _, path := range []string{"/tasks", "/tasks/1", "/events"} {
			resp, body := g.get(path)
			wantError(t, resp, body, http.StatusServiceUnavailable, "UNAVAILABLE", "dispatcher: connection refused")
		}
		g.startDispatcher()
		g.dispatcher.set(func(d *fakeDispatcher) { d.hung = true })
		g.collect()
		resp, body := g.get("/events")
		wantError(t, resp, body, http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", "dispatcher: no answer in time")
	})
}

func TestHealthIsOursAndReadinessIsOfTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.collect()
		if resp, body := g.get("/readyz"); resp.StatusCode != http.StatusOK {
			t.Errorf("/readyz: got %d %s, want 200", resp.StatusCode, body)
		}
		g.killNames()
		g.collect()
		resp, body := g.get("/readyz")
		wantError(t, resp, body, http.StatusServiceUnavailable, "UNAVAILABLE", "nameservice "+nsAddress+": connection refused")
		if resp, body := g.get("/healthz"); resp.StatusCode != http.StatusOK {
			t.Errorf("/healthz without a name service: got %d %s, want 200", resp.StatusCode, body)
		}
	})
}

func TestEveryAnswerHasTheSecurityHeadersAndNoCORS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		g.collect()
		for _, path := range []string{"/", "/stats", "/tasks", "/nothing", "/metrics", "/tasks/x"} {
			resp, _ := g.get(path, "Origin", "http://elsewhere")
			for name, want := range securityHeaders {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
				}
			}
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s: Access-Control-Allow-Origin: got %q, want none", path, got)
			}
		}
	})
}

func TestAPanicIsAnInternalErrorWithoutDetail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		handler := g.rest.around(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		if body := rec.Body.String(); rec.Code != http.StatusInternalServerError || !strings.Contains(body, `"code":"INTERNAL"`) || strings.Contains(body, "secret") {
			t.Errorf("a panic: got %d %s, want INTERNAL without its words", rec.Code, body)
		}
	})
}

func TestAReaderWhoHangsUpLeavesNothingBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGrid(t, nsAddress)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://monitoring/events?since=0", nil)
		resp, err := g.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body) // ends with ctx
		resp.Body.Close()
		g.dispatcher.happen(1) // gives the stream something to write, and so to notice
		g.collect()
		if got := g.rest.events.open.Load(); got != 0 {
			t.Errorf("open streams after the reader hung up: got %d, want 0", got)
		}
	})
}
