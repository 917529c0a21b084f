package lab

import (
	"context"
	"fmt"
	"strings"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	pb "taskgrid/proto/taskgrid/v1"
)

// phase measures something in a lab.
type phase func(*Lab, context.Context) (bench.Figures, error)

// closed returns the phase of a closed loop over one stream.
func closed(inFlight int) phase {
	return func(l *Lab, ctx context.Context) (bench.Figures, error) {
		return l.measure(ctx, l.grid, drive.Stream(l.grid.Client, inFlight, drive.Task))
	}
}

func (l *Lab) unary(ctx context.Context) (bench.Figures, error) {
	return l.measure(ctx, l.grid, drive.Calls(drive.InFlight, drive.Single(l.grid.Client)))
}

// naive returns a phase of the usual grid as it is measured with a grid whose dispatcher is that of package bound. This
// grid starts when it is first asked for and then stays, like the usual one: the two are measured in the same state, by turns.
func naive(of phase) phase {
	return func(l *Lab, ctx context.Context) (_ bench.Figures, err error) {
		if l.bound == nil {
			if l.bound, err = (&Grid{lab: l, naive: true}).start(ctx, 1, "reverse"); err != nil {
				return nil, err
			}
		}
		usual := l.grid
		l.grid = l.bound
		defer func() { l.grid = usual }()
		return of(l, ctx)
	}
}

// one measures the raw call, one at a time, right before: a task alone is compared by its latency.
func (l *Lab) one(ctx context.Context) (bench.Figures, error) {
	raw, err := drive.Measure(ctx, l.window(nil), drive.Calls(1, l.echo.Call))
	if err != nil {
		return nil, err
	}
	figures, err := l.measure(ctx, l.grid, drive.Stream(l.grid.Client, 1, drive.Task))
	if err != nil {
		return nil, err
	}
	figures["raw_p50_us"] = raw[bench.P50]
	figures["p50_ratio"] = figures[bench.P50] / raw[bench.P50]
	return figures, nil
}

func (l *Lab) mixed(ctx context.Context) (bench.Figures, error) {
	turn := 0
	next := func() *pb.TaskSpec {
		turn++
		return taskOf(types[turn%len(types)])
	}
	return l.measure(ctx, l.grid, drive.Stream(l.grid.Client, 256, next))
}

// payload shows how the cost of a task grows with its payload. Its own rate is that of 32 bytes.
func (l *Lab) payload(ctx context.Context) (bench.Figures, error) {
	var all bench.Figures
	for _, size := range []int{32, 1 << 10, 8 << 10, 64 << 10} {
		task := &pb.TaskSpec{Type: "hash", Payload: strings.Repeat("x", size)}
		figures, err := l.measure(ctx, l.grid, drive.Stream(l.grid.Client, 64, func() *pb.TaskSpec { return task }))
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = figures
			continue
		}
		for _, name := range []string{bench.Rate, "cpu_us.dispatcher", "written_bytes.dispatcher"} {
			if value, ok := figures[name]; ok {
				all[fmt.Sprintf("%s.%dKiB", name, size>>10)] = value
			}
		}
	}
	return all, nil
}
