package lab

import (
	"context"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	pb "taskgrid/proto/taskgrid/v1"
)

// alternate measures the same closed loop on two grids by turns, twice each, and returns the means of their rates and the
// figures of the last measurement of the second.
func (l *Lab) alternate(ctx context.Context, a, b *Grid, task func() *pb.TaskSpec) (rateA, rateB float64, figures bench.Figures, err error) {
	const turns = 2
	for range turns {
		of, err := l.measure(ctx, a, drive.Stream(a.Client, 256, task))
		if err != nil {
			return 0, 0, nil, err
		}
		rateA += of[bench.Rate] / turns
		if figures, err = l.measure(ctx, b, drive.Stream(b.Client, 256, task)); err != nil {
			return 0, 0, nil, err
		}
		rateB += figures[bench.Rate] / turns
	}
	figures[bench.Rate] = rateB
	return rateA, rateB, figures, nil
}

// workers compares few workers with many. Each is a whole worker runtime with a listener, a stream and a lease of its own;
// all of a grid live in one process, since the machine has to hold them.
func (l *Lab) workers(ctx context.Context) (bench.Figures, error) {
	const few, many = 10, 1000
	var grids []*Grid
	for _, n := range []int{few, many} {
		g, err := l.startGrid(ctx, 1)
		if err != nil {
			return nil, err
		}
		defer g.stop()
		if err := g.startFleet("reverse", n); err != nil {
			return nil, err
		}
		if err := g.connected(ctx, n); err != nil {
			return nil, err
		}
		if err := g.works(ctx, "reverse"); err != nil {
			return nil, err
		}
		grids = append(grids, g)
	}
	rateFew, rateMany, figures, err := l.alternate(ctx, grids[0], grids[1], drive.Task)
	if err != nil {
		return nil, err
	}
	figures["rate_10"], figures["workers_ratio"] = rateFew, rateMany/rateFew
	return figures, nil
}

// replicas compares a grid with one dispatcher with one that has three.
func (l *Lab) replicas(ctx context.Context) (bench.Figures, error) {
	three, err := l.startGrid(ctx, 3, "reverse")
	if err != nil {
		return nil, err
	}
	defer three.stop()
	rateOne, rateThree, figures, err := l.alternate(ctx, l.grid, three, drive.Task)
	if err != nil {
		return nil, err
	}
	figures["rate_one"], figures["replicas_ratio"] = rateOne, rateThree/rateOne
	return figures, nil
}

// flooding is how many tasks of one type wait while a task of another is measured.
const flooding = 100_000

// floods is how often that is measured; one flood lasts for some hundreds of such tasks, of which too few are beyond p99.
const floods = 3

// flood measures one task at a time of a type, alone, and while another type has a flood to do, by turns. It takes care to
// measure only while that lasts.
func (l *Lab) flood(ctx context.Context) (bench.Figures, error) {
	g, err := l.startQueueing(ctx)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	lone := drive.Stream(g.Client, 1, func() *pb.TaskSpec { return taskOf("hash") })
	window := drive.Window{Warm: 100 * time.Millisecond, For: min(l.cfg.Duration, time.Second)}
	var alone, flooded drive.Recorder
	var quiet, figures bench.Figures
	left := float64(flooding)
	for range floods {
		if quiet, err = alone.Measure(ctx, window, lone); err != nil {
			return nil, err
		}
		if err := g.beginFlood(ctx); err != nil {
			return nil, err
		}
		if figures, err = flooded.Measure(ctx, window, lone); err != nil {
			return nil, err
		}
		status, err := g.status(ctx)
		if err != nil {
			return nil, err
		}
		left = min(left, float64(status.Tasks.GetQueued()))
		if err := g.idle(ctx, ready); err != nil {
			return nil, err
		}
		g.stopProcess("worker-reverse")
	}
	figures["left_of_the_flood"] = left
	figures["p99_alone_us"], figures["p50_alone_us"] = quiet[bench.P99], quiet[bench.P50]
	figures["flood_ratio"], figures["flood_p50_ratio"] = figures[bench.P99]/quiet[bench.P99], figures[bench.P50]/quiet[bench.P50]
	return figures, nil
}

// beginFlood queues the flood, and returns when its worker has begun to do it.
func (g *Grid) beginFlood(ctx context.Context) error {
	if _, err := g.queue(ctx, flooding); err != nil {
		return err
	}
	if err := g.startWorker("reverse"); err != nil {
		return err
	}
	return g.eventually(ctx, ready, "the flood is being done", func(s *pb.DispatcherGetStatusResponse) bool {
		return s.Tasks.GetQueued() < flooding
	})
}
