package lab

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"taskgrid/bench"
	"taskgrid/bench/drive"
	"taskgrid/bench/usage"
	pb "taskgrid/proto/taskgrid/v1"
)

// backlog queues many tasks of a type that has no worker at the moment, and measures one thing after the other: how fast
// they are accepted and what one of them takes in memory; how fast another type is done beside them, compared with a
// grid where a thousand wait; how soon the first is handed over after the dispatcher was killed; how fast all are done.
func (l *Lab) backlog(ctx context.Context) (bench.Figures, error) {
	small, err := l.startQueueing(ctx)
	if err != nil {
		return nil, err
	}
	defer small.stop()
	big, err := l.startQueueing(ctx)
	if err != nil {
		return nil, err
	}
	defer big.stop()
	if _, err := small.queue(ctx, 1000); err != nil {
		return nil, err
	}
	count := float64(l.cfg.Backlog)
	echo, err := l.Yardstick(ctx)
	if err != nil {
		return nil, err
	}
	figures := bench.Figures{}
	before, _ := usage.Read(big.processes["dispatcher"].pid()) // where it is not told, what follows from it is left out
	m := big.meter()
	m.edge(false)
	submitted, err := big.queue(ctx, l.cfg.Backlog)
	if err != nil {
		return nil, err
	}
	m.edge(true)
	m.add(figures, count)
	if before.RSS > 0 {
		figures["rss_bytes_per_queued"] = float64(m.used["dispatcher"].RSS-before.RSS) / count
	}
	figures["submit_rate"], figures["submit_ratio"] = count/submitted.Seconds(), count/submitted.Seconds()/echo

	var ratios []float64
	for range 3 {
		rateSmall, rateBig, _, err := l.alternate(ctx, small, big, func() *pb.TaskSpec { return taskOf("hash") })
		if err != nil {
			return nil, err
		}
		ratios = append(ratios, rateBig/rateSmall)
	}
	figures["queued_ratio"] = bench.Median(ratios)
	return figures, l.restartAndDrain(ctx, big, figures, m.used["dispatcher"].Written)
}

// startQueueing starts a grid that knows the type reverse but has no worker of it.
func (l *Lab) startQueueing(ctx context.Context) (*Grid, error) {
	g, err := l.startGrid(ctx, 1, "reverse", "hash")
	if err == nil {
		g.stopProcess("worker-reverse")
	}
	return g, err
}

// queue submits n tasks, as many clients at a time as a busy grid has, and returns how long it took.
func (g *Grid) queue(ctx context.Context, n int) (time.Duration, error) {
	const batch, clients = 1000, 4
	tasks := make([]*pb.TaskSpec, batch)
	for i := range tasks {
		tasks[i] = drive.Task()
	}
	batches := make(chan int, (n+batch-1)/batch)
	for left := n; left > 0; left -= batch {
		batches <- min(batch, left)
	}
	close(batches)
	errs := make(chan error, clients)
	began := time.Now()
	var submitting sync.WaitGroup
	for range clients {
		submitting.Go(func() {
			for size := range batches {
				for _, s := range g.Client.SubmitMany(ctx, tasks[:size]) {
					if s.Err != nil {
						errs <- fmt.Errorf("submit: %w", s.Err)
						return
					}
				}
			}
		})
	}
	submitting.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return time.Since(began), nil
	}
}

// restartAndDrain kills the dispatcher, starts it and a worker of the type that waits, and adds how it goes on.
func (l *Lab) restartAndDrain(ctx context.Context, g *Grid, figures bench.Figures, written int64) error {
	count := float64(l.cfg.Backlog)
	status, err := g.status(ctx)
	if err != nil {
		return err
	}
	done := status.Tasks.GetCompleted()
	g.processes["dispatcher"].kill()
	if err := g.startWorker("reverse"); err != nil {
		return err
	}
	registered := time.NewTimer(time.Second) // at the name service, so that only the dispatcher is waited for
	defer registered.Stop()
	<-registered.C
	began := time.Now()
	if err := g.startDispatcher(0); err != nil {
		return err
	}
	if err := g.eventually(ctx, 2*time.Minute, "the first task is done", func(s *pb.DispatcherGetStatusResponse) bool {
		return s.Raft.GetState() == "leader" && s.Tasks.GetCompleted() > done
	}); err != nil {
		return err
	}
	figures["restart_s"] = time.Since(began).Seconds()
	m := g.meter()
	m.edge(false)
	drained := time.Now()
	if err := g.idle(ctx, 30*time.Minute); err != nil {
		return err
	}
	took := time.Since(drained)
	m.edge(true)
	echo, err := l.Yardstick(ctx)
	if err != nil {
		return err
	}
	figures["drain_rate"], figures["drain_ratio"] = count/took.Seconds(), count/took.Seconds()/echo
	// From submit to result: both halves, one after the other.
	figures["backlog_ratio"] = 1 / (1/figures["submit_ratio"] + 1/figures["drain_ratio"])
	for kind, u := range m.used {
		figures["drain_cpu_us."+kind] = float64(u.CPU.Microseconds()) / count
	}
	if w := m.used["dispatcher"].Written; w > 0 {
		figures["written_per_finished_bytes"] = float64(written+w) / count
	}
	figures["directory_mib"] = float64(directorySize(g.data)) / (1 << 20)
	return nil
}

// directorySize returns the bytes of all files below a folder.
func directorySize(folder string) (bytes int64) {
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile: the journal rotates
		}
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// disk finishes many tasks, and looks at the journal's directory at each tenth of the way.
func (l *Lab) disk(ctx context.Context) (bench.Figures, error) {
	g, err := l.startGrid(ctx, 1, "reverse")
	if err != nil {
		return nil, err
	}
	defer g.stop()
	const looks = 10
	figures := bench.Figures{}
	m := g.meter()
	m.edge(false)
	began, finished := time.Now(), 0
	for i := range looks {
		until := l.cfg.Finished * (i + 1) / looks
		if err := g.finish(ctx, until-finished); err != nil {
			return nil, err
		}
		finished = until
		size := float64(directorySize(filepath.Join(g.data, "d1"))) / (1 << 20)
		figures["directory_max_mib"] = max(figures["directory_max_mib"], size)
		if i == looks/2-1 {
			figures["directory_half_way_mib"] = size
		}
		figures["directory_end_mib"] = size
	}
	m.edge(true)
	m.add(figures, float64(l.cfg.Finished))
	figures["finished"] = float64(l.cfg.Finished)
	figures["finish_rate"] = float64(l.cfg.Finished) / time.Since(began).Seconds()
	if w := m.used["dispatcher"].Written; w > 0 {
		figures["written_per_finished_bytes"] = float64(w) / float64(l.cfg.Finished)
	}
	return figures, nil
}

// finish runs n tasks to their end.
func (g *Grid) finish(ctx context.Context, n int) error {
	specs := func(yield func(*pb.TaskSpec) bool) {
		for range n {
			if !yield(drive.Task()) {
				return
			}
		}
	}
	for finished, err := range g.Client.RunAll(ctx, 4096, specs) {
		if err == nil {
			err = finished.Err
		}
		if err != nil {
			return err
		}
	}
	return nil
}
