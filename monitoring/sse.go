package monitoring

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// maxStreams bounds the event streams that are open at the same time. Each costs a connection and a few buffers.
	maxStreams = 1000
	// retryHint is how long a browser waits before it reconnects.
	retryHint = time.Second
	// heartbeat is how often something is written to a silent stream, so that both ends and all between them notice when
	// the other is gone. Proxies commonly cut a silent connection after 30 s or more.
	heartbeat = 10 * time.Second
	// eventWriteTimeout bounds one write. Who does not take a few KiB in this time is cut off and may resume.
	eventWriteTimeout = 10 * time.Second
)

// eventStreams serves GET /events: Server-Sent Events, one for each event of the dispatcher, with its sequence number as
// id and its JSON form as data. Documents that the reader asked for (with=stats,workers) come in between, as events named
// "stats" and "workers" without an id. When the stream cannot go on, an event named "end" says why, as a JSON error.
type eventStreams struct {
	collector  *Collector
	dispatcher pb.DispatcherClient
	hub        *hub
	metrics    *Metrics
	log        *slog.Logger
	limit      int64
	open       atomic.Int64
}

func newEventStreams(c *Collector, d pb.DispatcherClient, m *Metrics, log *slog.Logger) *eventStreams {
	return &eventStreams{collector: c, dispatcher: d, hub: &hub{dispatcher: d, limit: ringEvents}, metrics: m, log: log, limit: maxStreams}
}

// serve returns an error only before it has begun to write.
func (s *eventStreams) serve(w http.ResponseWriter, r *http.Request) error {
	q, err := parseEventQuery(r.URL.RawQuery, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	defer s.open.Add(-1)
	if s.open.Add(1) > s.limit {
		return newError(codes.Unavailable, fmt.Sprintf("%d event streams are open, which is the limit; close one or try again later", s.limit))
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	since, begin, err := s.position(r.Context(), q)
	if err != nil {
		return err
	}
	e := &eventWriter{w: w, conn: http.NewResponseController(w), sent: s.metrics.sent}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // asks a proxy to pass each event on at once
	f := &feed{hub: s.hub, typ: q.Type, task: q.TaskID, last: since, out: make(chan portion)}
	s.stream(r.Context(), e, f, begin, q)
	return nil
}

// position returns the sequence number after which the reader begins, and the one after which to begin if there is no
// other reader: not further back than the ring goes. It asks the dispatcher, so that who begins now has a number to
// resume from, and who wants what is forgotten is told at once. While the dispatcher is away, who has a number is let in:
// the stream begins when it is back.
func (s *eventStreams) position(ctx context.Context, q eventQuery) (since, begin uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	d, err := s.dispatcher.GetStatus(ctx, &pb.DispatcherGetStatusRequest{})
	newest := d.GetLastEvent()
	switch {
	case err != nil && q.FromNow:
		return 0, 0, err
	case q.FromNow && !leads(d): // its newest event may be an old one
		return 0, 0, newError(codes.Unavailable, "dispatcher: nobody leads at the moment; try again, or say since")
	case q.FromNow:
		return newest, newest, nil
	case err != nil || !leads(d):
		return q.Since, q.Since, nil
	case q.Since+1 < d.GetFirstEvent():
		return 0, 0, newError(codes.OutOfRange, fmt.Sprintf("since %d: events that old are forgotten; the oldest there is has number %d (since=%d)", q.Since, d.GetFirstEvent(), d.GetFirstEvent()-1))
	}
	furthest := newest - min(newest, uint64(s.hub.limit))
	return q.Since, min(max(q.Since, furthest), newest), nil
}

// stream writes until the reader, the process or the events end, and returns when its feed has.
func (s *eventStreams) stream(ctx context.Context, e *eventWriter, f *feed, begin uint64, q eventQuery) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	e.begin(f.last)
	go func() { ended <- f.run(ctx, begin) }()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	newer := s.showDocuments(e, q)
	for e.err == nil {
		select {
		case p := <-f.out:
			e.portion(p)
		case <-newer:
			newer = s.showDocuments(e, q)
		case <-beat.C:
			e.comment("heartbeat")
		case err := <-ended: // also when the reader or the process ended
			if err != nil {
				e.document("end", toError(ctx, s.log, err))
			}
			cancel()
			return
		}
	}
	cancel()
	if err := <-ended; err != nil {
		s.log.Debug("event stream: the reader is gone", "error", err)
	}
}

// showDocuments writes the documents that the reader asked for, and returns a channel that is closed when there are newer
// ones: a collection later. It is nil, and never ready, when the reader asked for none.
func (s *eventStreams) showDocuments(e *eventWriter, q eventQuery) <-chan struct{} {
	if !q.Stats && !q.Workers {
		return nil
	}
	latest := s.collector.Latest()
	if q.Stats {
		e.document("stats", latest.Stats)
	}
	if q.Workers {
		e.document("workers", workerList(latest))
	}
	return latest.Replaced()
}

// eventWriter writes Server-Sent Events. After the first error it writes nothing more.
type eventWriter struct {
	w    io.Writer
	conn *http.ResponseController
	sent prometheus.Counter
	out  []byte // what is written last; its room is used again
	err  error
}

// begin writes the hint for reconnecting, and an event without data: a browser takes its id as the one to resume from,
// and shows nothing.
func (e *eventWriter) begin(last uint64) {
	e.write(fmt.Appendf(nil, "retry: %d\nid: %d\n\n", retryHint.Milliseconds(), last))
}

// portion writes events, or a comment for the reader who looks at the raw stream.
func (e *eventWriter) portion(p portion) {
	if p.trouble != "" {
		e.comment("the dispatcher does not answer: " + p.trouble)
		return
	}
	e.out = e.out[:0]
	for _, text := range p.texts {
		e.out = append(e.out, text...)
	}
	e.write(e.out)
	e.sent.Add(float64(len(p.texts)))
}

// document writes an event with a name and without an id.
func (e *eventWriter) document(name string, doc any) {
	data, err := encodeJSON(doc)
	if err != nil {
		e.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	e.write(fmt.Appendf(nil, "event: %s\ndata: %s\n", name, data))
}

// comment writes a line that no browser shows.
func (e *eventWriter) comment(text string) {
	e.write([]byte(": " + strings.NewReplacer("\n", " ", "\r", " ").Replace(text) + "\n\n"))
}

func (e *eventWriter) write(b []byte) {
	if e.err != nil {
		return
	}
	if e.err = e.conn.SetWriteDeadline(time.Now().Add(eventWriteTimeout)); e.err != nil {
		return
	}
	if _, e.err = e.w.Write(b); e.err == nil {
		e.err = e.conn.Flush()
	}
}
