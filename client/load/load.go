// Package load is the random test client: it submits random tasks of all five types, about one in ten deliberately bad,
// and compares the end of each with what was to be expected. It survives every restart of every part of the grid, because
// the client library does. It knows nothing of how the workers do their work.
package load

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// Config says what to submit, and where to tell of it.
type Config struct {
	Client   *client.Client
	Interval time.Duration // between two submissions; 0: as fast as tasks end
	Count    int           // end after so many; 0: when the context ends
	Seed     uint64        // of the tasks
	Tell     func(Record)  // hears of each task when it has ended
	Log      io.Writer     // gets each record as a line of JSON; nil: nothing does
	Logger   *slog.Logger
}

const (
	// maxInFlight bounds the tasks that wait for their end, so also the memory. It is so large that the tasks of one type
	// without a worker do not soon hold up the others.
	maxInFlight = 10_000

	// maxBehind bounds how far the submissions may fall behind their rate and catch up afterwards.
	maxBehind = time.Second

	// grace is how long to wait for tasks that are out when the context ends.
	grace = 5 * time.Second

	// pause is how long to wait before going on after an answer that nobody foresaw.
	pause = time.Second
)

// Run submits tasks until there were Count, or ctx ends and those that are out have ended or had 5 s for it.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	r := &run{cfg: cfg, cases: NewCases(cfg.Seed), name: fmt.Sprintf("load-%016x-", rand.Uint64()), open: map[string]numbered{},
		summary: Summary{Seed: cfg.Seed}}
	begin := time.Now()
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	for !r.ended(ctx) && hard.Err() == nil {
		if err := r.submitAll(ctx, hard); err != nil && hard.Err() == nil {
			cfg.Logger.Warn("the grid gave an answer that ends the stream; going on", "error", err)
			select {
			case <-hard.Done():
			case <-time.After(pause):
			}
		}
	}
	r.summary.Unfinished = len(r.open)
	r.summary.Seconds = time.Since(begin).Round(time.Millisecond).Seconds()
	return r.summary, r.logErr
}

// run is one Run. Tasks are taken by a goroutine of the client library; their ends are heard by the caller's.
type run struct {
	cfg     Config
	cases   *Cases
	name    string // begins the idempotency keys
	summary Summary
	logErr  error // of the log file, the first

	mu   sync.Mutex
	open map[string]numbered // by idempotency key: submitted and not ended
	made int                 // how many cases were taken

	next time.Time // when the next one is due; only specs knows
}

// numbered is a case and its place in the order of cases.
type numbered struct {
	number int
	Case
}

// ended says whether there is nothing left to do.
func (r *run) ended(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open) == 0 && (ctx.Err() != nil || r.cfg.Count > 0 && r.made == r.cfg.Count)
}

// submitAll submits what an earlier call left open, then new tasks until ctx ends or there were enough; it waits for their
// ends until hard ends.
func (r *run) submitAll(ctx, hard context.Context) error {
	for f, err := range r.cfg.Client.RunAll(hard, maxInFlight, r.specs(ctx)) {
		if err != nil {
			return err
		}
		r.mu.Lock()
		c := r.open[f.Spec.IdempotencyKey]
		delete(r.open, f.Spec.IdempotencyKey)
		r.mu.Unlock()
		record := newRecord(c.Case, f, time.Now())
		r.summary.add(record)
		r.cfg.Tell(record)
		if r.cfg.Log != nil {
			if err := writeJSON(r.cfg.Log, record); err != nil && r.logErr == nil {
				r.logErr = fmt.Errorf("write the log: %w", err)
			}
		}
	}
	return nil
}

// specs yields tasks at their times. Those that are open come first, under the keys they had.
func (r *run) specs(ctx context.Context) iter.Seq[*pb.TaskSpec] {
	return func(yield func(*pb.TaskSpec) bool) {
		r.mu.Lock()
		open := maps.Clone(r.open)
		r.mu.Unlock()
		keys := slices.SortedFunc(maps.Keys(open), func(a, b string) int { return open[a].number - open[b].number })
		for _, key := range keys {
			if !yield(spec(key, open[key].Case)) {
				return
			}
		}
		for r.cfg.Count == 0 || r.made < r.cfg.Count {
			if !r.untilDue(ctx) {
				return
			}
			key, c := r.take()
			if !yield(spec(key, c)) {
				return
			}
		}
	}
}

// untilDue waits until the next task is due. It returns false if ctx ended.
func (r *run) untilDue(ctx context.Context) bool {
	now := time.Now()
	if earliest := now.Add(-maxBehind); r.next.IsZero() {
		r.next = now
	} else if r.next.Before(earliest) {
		r.next = earliest
	}
	due := r.next
	r.next = r.next.Add(r.cfg.Interval)
	if !due.After(now) {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(due.Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// take makes the next case and enters it.
func (r *run) take() (key string, c Case) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	r.summary.Submitted = r.made
	c = r.cases.Next()
	key = fmt.Sprint(r.name, r.made)
	r.open[key] = numbered{r.made, c}
	return key, c
}

func spec(key string, c Case) *pb.TaskSpec {
	return &pb.TaskSpec{Type: c.Type, Payload: c.Payload, IdempotencyKey: key, Labels: map[string]string{"from": "load"}}
}
