package monitoring

import (
	"fmt"
	"slices"

	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// ringEvents and ringBytes bound the newest events that are kept for the readers: some ten seconds of a busy grid. Who
	// is further behind catches up with a stream of his own, or is ended and may resume.
	ringEvents = 10_000
	ringBytes  = 16 << 20

	// batchEvents and batchBytes bound what one reader takes from the ring at a time.
	batchEvents = 512
	batchBytes  = 256 << 10
)

// frame is an event as it is written to readers, made once for all of them.
type frame struct {
	seq  uint64
	typ  string // of the task; "" if the event is of a worker
	task uint64
	text []byte // never changes
}

func newFrame(e *pb.Event) (frame, error) {
	data, err := encodeJSON(taskjson.FromEvent(e))
	if err != nil {
		return frame{}, fmt.Errorf("event %d: %w", e.GetSequence(), err)
	}
	text := fmt.Appendf(nil, "id: %d\ndata: %s\n", e.GetSequence(), data) // data ends its own line
	return frame{seq: e.GetSequence(), typ: e.GetTask().GetType(), task: e.GetTask().GetId(), text: text}, nil
}

func newFrames(events []*pb.Event) (frames []frame, err error) {
	frames = make([]frame, len(events))
	for i, e := range events {
		if frames[i], err = newFrame(e); err != nil {
			return nil, err
		}
	}
	return frames, nil
}

// ring keeps the newest frames, in the order of their numbers and without a gap.
type ring struct {
	limit  int    // of frames
	before uint64 // the number before the oldest frame
	last   uint64 // the number of the newest frame; before, when there is none
	frames []frame
	bytes  int
}

// newRing returns an empty ring for so many frames, of which the first will be the one after number last.
func newRing(limit int, last uint64) ring { return ring{limit: limit, before: last, last: last} }

// add appends the next frame and drops the oldest ones that are too many.
func (r *ring) add(f frame) {
	r.frames = append(r.frames, f)
	r.bytes += len(f.text)
	r.last = f.seq
	for len(r.frames) > r.limit || r.bytes > ringBytes && len(r.frames) > 1 {
		oldest := &r.frames[0]
		r.before = oldest.seq
		r.bytes -= len(oldest.text)
		*oldest = frame{}
		r.frames = r.frames[1:]
	}
}

// holds tells whether all that comes after number seq is in the ring, or comes into it.
func (r *ring) holds(seq uint64) bool { return r.before <= seq && seq <= r.last }

// after returns a batch of the frames after number seq, which the ring holds.
func (r *ring) after(seq uint64) []frame {
	i, found := slices.BinarySearchFunc(r.frames, seq, func(f frame, seq uint64) int { return int(int64(f.seq - seq)) })
	if found {
		i++
	}
	end, bytes := i, 0
	for end < len(r.frames) && end-i < batchEvents && bytes < batchBytes {
		bytes += len(r.frames[end].text)
		end++
	}
	return slices.Clone(r.frames[i:end])
}
