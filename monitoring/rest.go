package monitoring

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

// callTimeout bounds a call to the dispatcher made for a request.
const callTimeout = 5 * time.Second

// REST is the HTTP face of monitoring. It only reads, so it takes GET and HEAD and no body, and sends no CORS headers:
// pages from elsewhere cannot read what it says.
type REST struct {
	collector  *Collector
	dispatcher pb.DispatcherClient
	log        *slog.Logger
	metrics    *Metrics
	events     *eventStreams
}

// NewREST returns the handler of all paths. It answers from what the collector has, and asks the dispatcher for tasks and
// events.
func NewREST(c *Collector, d pb.DispatcherClient, m *Metrics, log *slog.Logger) *REST {
	return &REST{collector: c, dispatcher: d, log: log, metrics: m, events: newEventStreams(c, d, m, log)}
}

// Handler returns the paths with what holds for all of them.
func (s *REST) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/stats", s.document(plain(s.stats)))
	mux.Handle("/workers", s.document(plain(s.workers)))
	mux.Handle("/tasks", s.document(s.tasks))
	mux.Handle("/tasks/{id}", s.document(plain(s.task)))
	mux.Handle("/healthz", s.document(plain(s.healthz)))
	mux.Handle("/readyz", s.document(plain(s.readyz)))
	mux.Handle("/events", s.reading(s.events.serve, http.MethodGet))
	mux.Handle("/metrics", s.reading(s.exposition, http.MethodGet, http.MethodHead))
	mux.Handle("/", s.reading(s.page, http.MethodGet, http.MethodHead))
	return s.around(mux)
}

// stats answers GET /stats. It never fails: what does not answer is named in the document.
func (s *REST) stats(*http.Request) (any, error) {
	return s.collector.Latest().Stats, nil
}

// WorkerList is the document of GET /workers.
type WorkerList struct {
	// Timestamp is when this was collected, in Unix milliseconds. Missing is as in [Stats].
	Timestamp int64    `json:"timestamp"`
	Missing   []string `json:"missing"`
	// Workers are in the order of their ids.
	Workers []Worker `json:"workers"`
}

func workerList(s *Snapshot) WorkerList {
	return WorkerList{Timestamp: s.Stats.Timestamp, Missing: s.Stats.Missing, Workers: append([]Worker{}, s.Workers...)}
}

func (s *REST) workers(*http.Request) (any, error) {
	return workerList(s.collector.Latest()), nil
}

// TaskList is the document of GET /tasks: a page, the newest task first.
type TaskList struct {
	Tasks []taskjson.Task `json:"tasks"`
	// NextPageToken is the page_token of the next page; absent on the last one.
	NextPageToken string `json:"next_page_token,omitempty"`
}

func (s *REST) tasks(r *http.Request) (any, error) {
	q, err := parseTaskQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	req := &pb.ListTasksRequest{Type: q.Type, Text: q.Text, PageSize: q.Limit, PageToken: q.PageToken, View: pb.TaskView_TASK_VIEW_FULL}
	for _, state := range q.States {
		parsed, _ := taskjson.ParseState(state) // the query takes no other words
		req.States = append(req.States, parsed)
	}
	if q.Basic {
		req.View = pb.TaskView_TASK_VIEW_BASIC
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	page, err := s.dispatcher.ListTasks(ctx, req)
	if err != nil {
		return nil, err
	}
	list := TaskList{Tasks: make([]taskjson.Task, 0, len(page.GetTasks())), NextPageToken: page.GetNextPageToken()}
	for _, t := range page.GetTasks() {
		list.Tasks = append(list.Tasks, taskjson.FromTask(t))
	}
	return list, nil
}

func (s *REST) task(r *http.Request) (any, error) {
	id, err := parseTaskID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	resp, err := s.dispatcher.GetTask(ctx, &pb.GetTaskRequest{Id: id})
	if err != nil {
		return nil, err
	}
	return taskjson.FromTask(resp.GetTask()), nil
}

// healthz says that this process lives, whatever the others do.
func (s *REST) healthz(*http.Request) (any, error) {
	return map[string]string{"status": "ok"}, nil
}

// readyz says whether what monitoring shows is fresh: the dispatcher, and at least one name service, answered last time.
func (s *REST) readyz(*http.Request) (any, error) {
	latest := s.collector.Latest()
	if !latest.DispatcherUp || !latest.NameServiceUp {
		return nil, newError(codes.Unavailable, strings.Join(latest.Missing, "; "))
	}
	return map[string]string{"status": "ready"}, nil
}

// plain refuses every query parameter.
func plain(answer func(*http.Request) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		if _, err := parseQuery(r.URL.RawQuery); err != nil {
			return nil, err
		}
		return answer(r)
	}
}

// document serves what answer returns as JSON, or its error.
func (s *REST) document(answer func(*http.Request) (any, error)) http.Handler {
	return s.reading(func(w http.ResponseWriter, r *http.Request) error {
		doc, err := answer(r)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, doc)
	}, http.MethodGet, http.MethodHead)
}

// reading serves one path: refuses other methods and bodies, and writes the error that serve returns. A serve that has
// begun to write returns nil.
func (s *REST) reading(serve func(http.ResponseWriter, *http.Request) error, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkMethod(w, r, methods)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			s.writeError(w, r, err)
		}
	})
}
