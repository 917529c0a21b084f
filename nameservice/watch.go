package nameservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// maxChunk bounds the workers, and the departures, in one message of changes.
	maxChunk = 256

	// maxFrames bounds the messages that are kept for others who want the same.
	maxFrames = 1024

	// snapshotAge is how long a snapshot may serve further watchers while nothing but heartbeats happens.
	snapshotAge = 100 * time.Millisecond
)

var (
	errTooSlow  = errors.New("read too slowly: changes that were not read are forgotten; resume")
	errStopping = errors.New("the name service is stopping")
)

// newsroom is what watchers share. It is guarded by Server.mu.
type newsroom struct {
	version uint64        // the registry's version when watchers were last told to look
	told    chan struct{} // closed when they are told to look again
	frames  map[frameKey]*frame
}

// frameKey says who may share a message: the watchers of a type that know the same version, or nothing.
type frameKey struct {
	taskType string
	version  uint64
	snapshot bool
}

func newNewsroom() newsroom {
	return newsroom{told: make(chan struct{}), frames: map[frameKey]*frame{}}
}

// publish tells the watchers to look, if there are changes. It reports whether there were.
func (s *Server) publish() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry.Advance(s.now())
	s.tellCallers()
	if s.registry.Version() == s.news.version {
		return false
	}
	s.news.version = s.registry.Version()
	clear(s.news.frames) // who asks for the same now gets more
	close(s.news.told)
	s.news.told = make(chan struct{})
	return true
}

// WatchWorkers implements NameService. Each watcher has a goroutine, this one, and knows a version; it waits until
// there is a newer one. Nobody waits for it, and nothing piles up for it.
func (s *Server) WatchWorkers(req *pb.WatchWorkersRequest, stream grpc.ServerStreamingServer[pb.WatchWorkersResponse]) error {
	if err := s.authorize(stream.Context()); err != nil {
		return err
	}
	if err := checkFilter(req.Type); err != nil {
		return toStatus(err)
	}
	if err := s.enterWatcher(); err != nil {
		return toStatus(err)
	}
	defer s.leaveWatcher()
	// A watch that resumes may have nothing to say for long; its headers tell the caller that it stands.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for f := s.begin(req); ; {
		if f.view.News {
			if err := f.prepare(); err != nil {
				return toStatus(err)
			}
			if err := stream.SendMsg(f); err != nil {
				return err
			}
		}
		next, err := s.next(stream.Context(), req.Type, f.view.Version)
		if err != nil {
			return toStatus(err)
		}
		f = next
	}
}

// begin returns what a watcher is told first: what it missed, if it resumes and that is still known, or a snapshot.
func (s *Server) begin(req *pb.WatchWorkersRequest) *frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if req.Epoch == s.epoch {
		if f, ok := s.frameSince(now, req.Type, req.Version); ok {
			return f
		}
	}
	return s.snapshotFrame(now, req.Type)
}

// next waits until there is something newer than the version and returns it. Errors: errTooSlow, errStopping, or that
// of ctx.
func (s *Server) next(ctx context.Context, taskType string, version uint64) (*frame, error) {
	for {
		s.mu.Lock()
		if version < s.news.version {
			defer s.mu.Unlock()
			f, ok := s.frameSince(s.now(), taskType, version)
			if !ok {
				s.watchersDropped.Add(1)
				return nil, errTooSlow
			}
			return f, nil
		}
		told := s.news.told
		s.mu.Unlock()
		select {
		case <-told:
		case <-s.stopped:
			return nil, errStopping
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// frameSince returns the message of changes since a version, the same one to all who ask before more is published. It
// returns false if only a snapshot helps. The caller holds mu.
func (s *Server) frameSince(now time.Time, taskType string, version uint64) (*frame, bool) {
	key := frameKey{taskType: taskType, version: version}
	if f := s.news.frames[key]; f != nil {
		return f, true
	}
	view, ok := s.registry.Since(now, taskType, version, maxChunk)
	if !ok {
		return nil, false
	}
	return s.news.keep(key, &frame{view: view, epoch: s.epoch, made: now}), true
}

// snapshotFrame returns the message of all workers, as they are now. The caller holds mu.
func (s *Server) snapshotFrame(now time.Time, taskType string) *frame {
	s.registry.Advance(now)
	key := frameKey{taskType: taskType, snapshot: true}
	f := s.news.frames[key]
	if f != nil && f.view.Version == s.registry.Version() && now.Sub(f.made) < snapshotAge {
		return f
	}
	return s.news.keep(key, &frame{view: s.registry.Snapshot(now, taskType), snapshot: true, epoch: s.epoch, made: now})
}

// keep remembers a message for others.
func (n *newsroom) keep(key frameKey, f *frame) *frame {
	if len(n.frames) >= maxFrames {
		clear(n.frames)
	}
	n.frames[key] = f
	return f
}

func (s *Server) enterWatcher() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers >= s.opts.MaxWatchers {
		return fmt.Errorf("%w: %d watchers", ErrFull, s.watchers)
	}
	s.watchers++
	return nil
}

func (s *Server) leaveWatcher() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers--
}
