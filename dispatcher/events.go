package dispatcher

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	pb "taskgrid/proto/taskgrid/v1"
)

// WatchEvents implements pb.DispatcherServer.
func (s *Server) WatchEvents(req *pb.WatchEventsRequest, stream pb.Dispatcher_WatchEventsServer) error {
	leave, err := s.d.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	since := req.GetSince()
	if req.GetFromNow() {
		since = s.d.lastEvent()
	}
	var buf []core.Event
	var behind *durationpb.Duration
	var applied uint64
	verified := false
	for told := false; ; {
		news := s.d.news.wait()
		if _, leading := s.d.Leading(); !leading && !req.GetStale() {
			return s.toStatus(stream.Context(), journal.ErrNotLeader)
		}
		if req.GetStale() {
			behind, applied = s.d.behind()
		}
		events, first, ok := s.d.eventsSince(since, buf[:0])
		if !ok {
			return status.Errorf(codes.OutOfRange, "since: %d: events up to %d are forgotten; the oldest there is has number %d", since, first-1, first)
		}
		if last := s.d.lastEvent(); since > last && !req.GetStale() {
			if err := s.verifyLeader(stream.Context()); err != nil {
				return err
			}
			if since <= s.d.lastEvent() {
				continue // another leader had told of it
			}
			return status.Errorf(codes.OutOfRange, "since: %d: the newest event has number %d", since, last)
		}
		buf = events
		resp := &pb.WatchEventsResponse{Behind: behind, AppliedIndex: applied}
		for i := range events {
			e := &events[i]
			since = e.Seq
			if (req.GetType() == "" || e.Type == req.GetType()) && (req.GetTaskId() == 0 || e.TaskID == req.GetTaskId()) {
				resp.Events = append(resp.Events, eventOf(e))
			}
		}
		if len(resp.Events) > 0 || req.GetStale() && !told {
			told = true
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		if len(events) > 0 {
			continue
		}
		if req.GetNoFollow() && !verified && !req.GetStale() { // that there is nothing newer is for the leader to say
			if err := s.verifyLeader(stream.Context()); err != nil {
				return err
			}
			verified = true
			continue
		}
		if req.GetNoFollow() {
			return nil
		}
		select {
		case <-news:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// eventBatch is how many events are taken under one lock and sent in one message.
const eventBatch = 512

func (d *Dispatcher) eventsSince(seq uint64, buf []core.Event) (events []core.Event, first uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	events, ok = d.machine.Events(seq, eventBatch, buf)
	return events, d.machine.FirstEvent(), ok
}

func (d *Dispatcher) lastEvent() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machine.LastEvent()
}

// broadcast wakes any number of goroutines when there is something new, at most once each newsInterval: with thousands
// of watchers, waking all of them for each of thousands of events a second would be all that the process does.
type broadcast struct {
	told chan struct{} // holds one

	mu   sync.Mutex
	next chan struct{} // closed when there is something new
}

const newsInterval = 5 * time.Millisecond

func newBroadcast() *broadcast {
	return &broadcast{told: make(chan struct{}, 1), next: make(chan struct{})}
}

// tell says that there is something new.
func (b *broadcast) tell() { signal(b.told) }

// wait returns a channel that is closed when there is something newer than now.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

// run wakes the waiting until ctx ends.
func (b *broadcast) run(ctx context.Context) error {
	pause := time.NewTimer(newsInterval)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.told:
		}
		b.mu.Lock()
		close(b.next)
		b.next = make(chan struct{})
		b.mu.Unlock()
		pause.Reset(newsInterval)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}
