package drive

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"taskgrid/bench"
)

// longest is the largest latency that is told apart, in microseconds; longer ones count as this.
const longest = int64(time.Minute / time.Microsecond)

// Window is how long to let the work run in, and how long to count. On a machine that stalls, counting goes on until
// something was finished.
type Window struct {
	Warm, For time.Duration
	// Edge is called when counting begins and when it ends, for what else is to be read at these moments. nil: nothing.
	Edge func(end bool)
}

// Recorder takes what work has finished.
type Recorder struct {
	counting, over atomic.Bool
	some           atomic.Bool // something has been counted

	mu    sync.Mutex
	lanes []*Lane
	took  time.Duration // of all windows
}

// Over says that no more work is to be begun.
func (r *Recorder) Over() bool { return r.over.Load() }

// Lane returns a new lane, for one goroutine.
func (r *Recorder) Lane() *Lane {
	lane := &Lane{recorder: r, latency: newHistogram()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes = append(r.lanes, lane)
	return lane
}

// Lane is where one goroutine reports what it finishes.
type Lane struct {
	recorder *Recorder
	count    int
	latency  *hdrhistogram.Histogram
}

// Done reports one thing that was begun at a time and is finished now.
func (l *Lane) Done(begun time.Time) {
	if l.recorder.counting.Load() {
		l.count++
		if !l.recorder.some.Load() {
			l.recorder.some.Store(true)
		}
		_ = l.latency.RecordValue(min(time.Since(begun).Microseconds(), longest)) // cannot be out of range
	}
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

// Measure runs work until it has been counted for as long as the window says, and returns rate and latencies. Work has
// to return soon after the recorder says Over, and when ctx ends.
func Measure(ctx context.Context, w Window, work func(context.Context, *Recorder) error) (bench.Figures, error) {
	return new(Recorder).Measure(ctx, w, work)
}

// Measure is the function of that name with a recorder that others report to as well, or that has been measured before:
// then the figures are of all its windows together.
func (r *Recorder) Measure(ctx context.Context, w Window, work func(context.Context, *Recorder) error) (bench.Figures, error) {
	// Work that hangs is cut off long after it should have ended.
	ctx, cancel := context.WithTimeout(ctx, w.Warm+w.For+time.Minute)
	defer cancel()
	r.over.Store(false)
	r.some.Store(false)
	worked := make(chan error, 1)
	go func() { worked <- work(ctx, r) }()

	if err := wait(w.Warm, worked); err != nil {
		return nil, err
	}
	w.edge(false)
	r.counting.Store(true)
	began := time.Now()
	err := wait(w.For, worked)
	for err == nil && !r.some.Load() && ctx.Err() == nil {
		err = wait(w.For, worked)
	}
	r.took += time.Since(began)
	r.counting.Store(false)
	w.edge(true)
	r.over.Store(true)
	if err == nil {
		err = <-worked
	}
	if err != nil {
		return nil, err
	}
	return r.figures(r.took)
}

func (w Window) edge(end bool) {
	if w.Edge != nil {
		w.Edge(end)
	}
}

// wait returns nil after the time, or why work has ended before.
func wait(d time.Duration, worked <-chan error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-worked:
		if err == nil {
			err = fmt.Errorf("the work ended before it was measured")
		}
		return err
	}
}

func (r *Recorder) figures(took time.Duration) (bench.Figures, error) {
	count, latency := 0, newHistogram()
	for _, lane := range r.lanes {
		count += lane.count
		latency.Merge(lane.latency)
	}
	if count == 0 {
		return nil, fmt.Errorf("nothing was finished within %v", took.Round(time.Millisecond))
	}
	return bench.Figures{
		bench.Rate: float64(count) / took.Seconds(),
		bench.P50:  float64(latency.ValueAtQuantile(50)),
		bench.P99:  float64(latency.ValueAtQuantile(99)),
		bench.P999: float64(latency.ValueAtQuantile(99.9)),
	}, nil
}

// Calls is work that makes calls, so many at a time, each begun when one has ended.
func Calls(inFlight int, call func(context.Context) error) func(context.Context, *Recorder) error {
	return func(ctx context.Context, r *Recorder) error {
		errs := make(chan error, inFlight)
		for range inFlight {
			lane := r.Lane()
			go func() {
				for !r.Over() {
					begun := time.Now()
					if err := call(ctx); err != nil {
						errs <- err
						return
					}
					lane.Done(begun)
				}
				errs <- nil
			}()
		}
		var first error
		for range inFlight {
			if err := <-errs; err != nil && first == nil {
				first = err
				r.over.Store(true)
			}
		}
		return first
	}
}
