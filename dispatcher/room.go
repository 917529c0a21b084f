package dispatcher

import (
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// answerBytes is how much room the tasks of one answer may take; the rest of a message is for all else in it.
const answerBytes = rpc.MaxMessage / 8 * 7

// roomFor returns how many bytes a task takes in a message at most. It is never less than proto.Size, which costs as much
// as encoding the task, and for a task with long texts little more.
func roomFor(t *pb.Task) int {
	const (
		numbers = 512 // all that is not text, and the lengths of the texts
		label   = 16
		step    = 64
	)
	room := numbers + len(t.Type) + len(t.Payload) + len(t.GetResult()) + len(t.Error) + len(t.WorkerId) + len(t.RequestId) + len(t.IdempotencyKey)
	for key, value := range t.Labels {
		room += label + len(key) + len(value)
	}
	for _, s := range t.History {
		room += step + len(s.WorkerId) + len(s.Reason)
	}
	return room
}
