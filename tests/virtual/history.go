package virtual

import (
	"fmt"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// History is the event stream as a checker sees it: Add takes the events as they come, and complains about the first one
// that cannot be.
type History struct {
	last  uint64
	Paths map[uint64][]pb.TaskState // by task: the states it has come to, in order
}

// NewHistory returns a history that expects the event with number 1 first.
func NewHistory() *History { return &History{Paths: map[uint64][]pb.TaskState{}} }

// Add takes the next event. The error says what is wrong with it: its number is not the next one, or it is a step of a
// task that the table does not have, that does not begin where the task stands, or that leaves a terminal state.
func (h *History) Add(e *pb.Event) error {
	if e.Sequence != h.last+1 {
		return fmt.Errorf("event %d follows event %d", e.Sequence, h.last)
	}
	h.last = e.Sequence
	step := e.GetTask()
	if step == nil {
		return nil
	}
	path := h.Paths[step.Id]
	stands := pb.TaskState_TASK_STATE_UNSPECIFIED
	if len(path) > 0 {
		stands = path[len(path)-1]
	}
	switch {
	case step.From != stands:
		return fmt.Errorf("event %d: task %d goes from %v to %v, but it is %v", e.Sequence, step.Id, step.From, step.To, stands)
	case !core.Legal(core.State(step.From), core.State(step.To)):
		return fmt.Errorf("event %d: task %d goes from %v to %v, which the table does not have", e.Sequence, step.Id, step.From, step.To)
	}
	h.Paths[step.Id] = append(path, step.To)
	return nil
}

// History reads all events there are, from the first one on.
func (g *Grid) History() *History {
	g.t.Helper()
	h := NewHistory()
	for e, err := range g.Client().Events(g.Context(), &pb.WatchEventsRequest{NoFollow: true}) {
		if err == nil {
			err = h.Add(e)
		}
		if err != nil {
			g.t.Fatalf("events: %v", err)
		}
	}
	return h
}

// Terminal tells whether a task in this state never changes again.
func Terminal(s pb.TaskState) bool { return core.State(s).Terminal() }

// Conserves returns an error unless every task that was ever submitted is in exactly one count, for all types together
// and for each.
func Conserves(status *pb.DispatcherGetStatusResponse) error {
	for _, st := range append([]*pb.TypeStatus{{Type: "all types", Tasks: status.Tasks}}, status.Types...) {
		n := st.Tasks
		if sum := n.Queued + n.Running + n.Retrying + n.Completed + n.Failed + n.Cancelled + n.Forgotten; sum != n.Submitted {
			return fmt.Errorf("status of %s: %d submitted, but %d queued, running, retrying, ended or forgotten: %v", st.Type, n.Submitted, sum, n)
		}
	}
	return nil
}
