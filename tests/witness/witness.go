package witness

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
)

// Witness collects the facts of one grid. Its methods may be called concurrently.
type Witness struct {
	mu    sync.Mutex
	judge *checker.Judge
	facts int
	ids   []uint64 // of the tasks that were accepted
}

// New returns a witness that has seen nothing.
func New(limits checker.Limits) *Witness { return &Witness{judge: checker.New(limits)} }

// Add adds facts.
func (w *Witness) Add(facts ...checker.Fact) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range facts {
		w.judge.Add(f)
		w.facts++
		if s, ok := f.(checker.Submitted); ok {
			w.ids = append(w.ids, s.ID)
		}
	}
}

// Conclude judges the whole and returns how many facts there were; see checker.Judge.Verdict for the error.
func (w *Witness) Conclude() (facts int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge.Conclude(time.Now())
	return w.facts, w.judge.Verdict()
}

// Verdict returns what is known by now to be wrong.
func (w *Witness) Verdict() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judge.Verdict()
}

// LastEvent returns the number of the newest event seen.
func (w *Witness) LastEvent() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.judge.LastEvent()
}

// Accepted returns the ids of all tasks that were accepted, each once, in their order.
func (w *Witness) Accepted() []uint64 {
	w.mu.Lock()
	ids := slices.Clone(w.ids)
	w.mu.Unlock()
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Watch follows the event stream from its beginning until ctx ends.
func (w *Witness) Watch(ctx context.Context, c *client.Client) error {
	for e, err := range c.Events(ctx, &pb.WatchEventsRequest{}) {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was to end
		}
		if err != nil {
			return err
		}
		w.Add(Event(e))
	}
	return nil
}

// Names asks the name service for the workers, again and again until ctx ends.
func (w *Witness) Names(ctx context.Context, names pb.NameServiceClient) {
	for every(ctx, 200*time.Millisecond) {
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		answer, err := names.LookupWorkers(bounded, &pb.LookupWorkersRequest{})
		cancel()
		if err == nil {
			w.Add(Listed(answer))
		}
	}
}

// Counts asks the dispatcher for its counts, again and again until ctx ends.
func (w *Witness) Counts(ctx context.Context, c *client.Client) {
	for every(ctx, 500*time.Millisecond) {
		if status, err := c.Status(ctx); err == nil {
			w.Add(Counts(status)...)
		}
	}
}

// Read asks for tasks.
func (w *Witness) Read(ctx context.Context, c *client.Client, ids []uint64) error {
	for _, id := range ids {
		asked := time.Now()
		task, err := c.Get(ctx, id)
		refused, ok := errors.AsType[*client.RefusedError](err)
		switch {
		case err == nil:
			w.Add(Task(asked, task))
		case ok && refused.Code == codes.NotFound:
			w.Add(Missing(asked, id))
		default:
			return err
		}
	}
	return nil
}

// ReadAll asks for all tasks there are, and notes which of the accepted ones were missing.
func (w *Witness) ReadAll(ctx context.Context, c *client.Client) error {
	asked := time.Now()
	missing := map[uint64]bool{}
	for _, id := range w.Accepted() {
		missing[id] = true
	}
	for task, err := range c.List(ctx, &pb.ListTasksRequest{Ascending: true, PageSize: 1000}) {
		if err != nil {
			return err
		}
		delete(missing, task.Id)
		w.Add(Task(asked, task))
	}
	for id := range missing {
		w.Add(Missing(asked, id))
	}
	return nil
}

// every waits; it returns false when ctx has ended.
func every(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
