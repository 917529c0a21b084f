package monitoring

import (
	"fmt"
	"slices"
	"sync"

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

// frame is an event, and its text as it is written to readers. The text is made when the first reader wants it, once for
// all of them: an event that nobody takes, because all who read filter, costs no encoding.
type frame struct {
	seq  uint64
	typ  string // of the task; "" if the event is of a worker
	task uint64
	cost int // how many bytes it takes at most, before and after its text is made

	once  sync.Once // guards what follows
	event *pb.Event // nil as soon as there is the text
	made  []byte    // never changes
	err   error
}

// frameCost is more than a frame takes without the event's strings: as a message, or as the names and numbers of its text.
const frameCost = 512

func newFrame(e *pb.Event) *frame {
	t, w := e.GetTask(), e.GetWorker()
	cost := frameCost
	for _, s := range [...]string{t.GetType(), t.GetWorkerId(), t.GetReason(),
		w.GetWorkerId(), w.GetAspect(), w.GetFrom(), w.GetTo(), w.GetReason()} {
		cost += quoted(s)
	}
	return &frame{seq: e.GetSequence(), typ: t.GetType(), task: t.GetId(), cost: cost, event: e}
}

// quoted returns how many bytes a string takes in JSON at most: some characters are written like \u0000.
func quoted(s string) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&', c == 0x7f:
			n += 5
		case c >= 0x80: // \u2028 stands for three bytes
			n++
		}
	}
	return n
}

func newFrames(events []*pb.Event) []*frame {
	frames := make([]*frame, len(events))
	for i, e := range events {
		frames[i] = newFrame(e)
	}
	return frames
}

// text returns what is written to a reader. It may be called by many at the same time, and is not to be changed.
func (f *frame) text() ([]byte, error) {
	f.once.Do(func() {
		data, err := encodeJSON(taskjson.FromEvent(f.event))
		if err != nil {
			f.err = fmt.Errorf("event %d: %w", f.seq, err)
		}
		f.made = fmt.Appendf(nil, "id: %d\ndata: %s\n", f.seq, data) // data ends its own line
		f.event = nil
	})
	return f.made, f.err
}

// ring keeps the newest frames, in the order of their numbers and without a gap.
type ring struct {
	limit  int    // of frames
	before uint64 // the number before the oldest frame
	last   uint64 // the number of the newest frame; before, when there is none
	frames []*frame
	bytes  int // what the frames cost
}

// newRing returns an empty ring for so many frames, of which the first will be the one after number last.
func newRing(limit int, last uint64) ring { return ring{limit: limit, before: last, last: last} }

// add appends the next frame and drops the oldest ones that are too many.
func (r *ring) add(f *frame) {
	r.frames = append(r.frames, f)
	r.bytes += f.cost
	r.last = f.seq
	for len(r.frames) > r.limit || r.bytes > ringBytes && len(r.frames) > 1 {
		oldest := r.frames[0]
		r.before = oldest.seq
		r.bytes -= oldest.cost
		r.frames[0] = nil
		r.frames = r.frames[1:]
	}
}

// holds tells whether all that comes after number seq is in the ring, or comes into it.
func (r *ring) holds(seq uint64) bool { return r.before <= seq && seq <= r.last }

// after returns a batch of the frames after number seq, which the ring holds.
func (r *ring) after(seq uint64) []*frame {
	i, found := slices.BinarySearchFunc(r.frames, seq, func(f *frame, seq uint64) int { return int(int64(f.seq - seq)) })
	if found {
		i++
	}
	end, bytes := i, 0
	for end < len(r.frames) && end-i < batchEvents && bytes < batchBytes {
		bytes += r.frames[end].cost
		end++
	}
	return slices.Clone(r.frames[i:end])
}
