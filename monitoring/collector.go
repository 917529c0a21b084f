package monitoring

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

// askTimeout bounds one call for a status. A healthy dispatcher answers within milliseconds; one that has not after this
// time counts as missing. Name services have a bound of their own, in discovery.
const askTimeout = 2 * time.Second

// NameServices are the name services to ask; [discovery.NameServices] is what a process uses.
type NameServices interface {
	// Each calls do for every name service, and returns what became of each.
	Each(ctx context.Context, do func(context.Context, pb.NameServiceClient) error) []discovery.Answer
}

// Collector asks the dispatcher and the name services for their status and keeps the last answers. Its methods may be
// called concurrently.
type Collector struct {
	dispatcher   pb.DispatcherClient
	nameServices NameServices
	interval     time.Duration
	log          *slog.Logger
	started      time.Time
	done         chan struct{}            // closed when Run returns
	latest       atomic.Pointer[Snapshot] // replaced under mu
	violations   atomic.Uint64            // answers of the dispatcher that did not conserve

	mu      sync.Mutex
	sources sources
}

// sources is what the next snapshot is made of.
type sources struct {
	dispatcher                            *pb.DispatcherGetStatusResponse
	nameServices                          []*pb.NameServiceGetStatusResponse
	dispatcherUp, nameServiceUp           bool
	missingDispatcher, missingNameService []string
}

// NewCollector returns a collector that asks each source once per interval. It asks nobody before Run.
func NewCollector(d pb.DispatcherClient, n NameServices, interval time.Duration, log *slog.Logger) *Collector {
	c := &Collector{
		dispatcher: d, nameServices: n, interval: interval, log: log, started: time.Now(), done: make(chan struct{}),
		sources: sources{
			missingDispatcher:  []string{"dispatcher: not asked yet"},
			missingNameService: []string{"nameservice: not asked yet"},
		},
	}
	c.update(func(*sources) {})
	return c
}

// Latest returns the newest snapshot. It never waits.
func (c *Collector) Latest() *Snapshot { return c.latest.Load() }

// Done is closed when Run has returned: there will be no newer snapshot.
func (c *Collector) Done() <-chan struct{} { return c.done }

// Run asks until ctx ends. The dispatcher and the name services are asked in goroutines of their own, so that one that
// does not answer makes no other wait. Run may be called once.
func (c *Collector) Run(ctx context.Context) error {
	defer close(c.done)
	var group errgroup.Group
	group.Go(func() error { c.every(ctx, c.askDispatcher); return nil })
	group.Go(func() error { c.every(ctx, c.askNameServices); return nil })
	return group.Wait()
}

// every calls ask at once and then at each interval until ctx ends. A call that lasts longer than the interval delays the
// next one; calls do not pile up.
func (c *Collector) every(ctx context.Context, ask func(context.Context)) {
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	for {
		ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *Collector) askDispatcher(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := c.dispatcher.GetStatus(bounded, &pb.DispatcherGetStatusRequest{})
	if ctx.Err() != nil {
		return // it is we who hung up
	}
	var missing []string
	switch {
	case err != nil:
		missing = []string{"dispatcher: " + discovery.Reason(err)}
	case !leads(answer):
		missing = []string{"dispatcher: " + answer.GetRaft().GetId() + " answers, but does not lead"}
		c.findLeader(bounded)
		fallthrough
	default:
		c.checkConservation(answer)
	}
	up := len(missing) == 0
	c.update(func(s *sources) {
		c.logTurn("dispatcher", s.dispatcherUp, up, missing)
		s.dispatcherUp, s.missingDispatcher = up, missing
		if err == nil {
			s.dispatcher = answer
		}
	})
}

// leads tells whether the replica that answered leads. Another one knows the tasks, perhaps a little less than all, but
// no workers.
func leads(d *pb.DispatcherGetStatusResponse) bool { return d.GetRaft().GetState() == "leader" }

// findLeader makes a call that only the leader answers: another replica refuses it with a hint at the leader, and the
// connection follows the hint, see discovery. What it answers does not matter.
func (c *Collector) findLeader(ctx context.Context) {
	_, _ = c.dispatcher.ListTasks(ctx, &pb.ListTasksRequest{PageSize: 1, View: pb.TaskView_TASK_VIEW_BASIC})
}

func (c *Collector) askNameServices(ctx context.Context) {
	var mu sync.Mutex
	var answers []*pb.NameServiceGetStatusResponse
	outcomes := c.nameServices.Each(ctx, func(ctx context.Context, ns pb.NameServiceClient) error {
		answer, err := ns.GetStatus(ctx, &pb.NameServiceGetStatusRequest{})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, answer)
		return nil
	})
	if ctx.Err() != nil {
		return
	}
	var missing []string
	for _, o := range outcomes {
		if o.Err != nil {
			missing = append(missing, "nameservice "+o.Address+": "+discovery.Reason(o.Err))
		}
	}
	slices.SortFunc(answers, func(a, b *pb.NameServiceGetStatusResponse) int { return strings.Compare(a.GetEpoch(), b.GetEpoch()) })
	up := len(answers) > 0
	c.update(func(s *sources) {
		c.logTurn("nameservice", s.nameServiceUp, up, missing)
		s.nameServiceUp, s.missingNameService = up, missing
		if up {
			s.nameServices = answers
		}
	})
}

// update changes the sources and replaces the snapshot.
func (c *Collector) update(change func(*sources)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.sources)
	now := time.Now()
	next := &Snapshot{
		Time: now, Uptime: now.Sub(c.started),
		Dispatcher: c.sources.dispatcher, DispatcherUp: c.sources.dispatcherUp,
		NameServices: c.sources.nameServices, NameServiceUp: c.sources.nameServiceUp,
		Missing:  append(append([]string{}, c.sources.missingDispatcher...), c.sources.missingNameService...),
		replaced: make(chan struct{}),
	}
	r := reading(next)
	next.Workers = JoinWorkers(r)
	next.Stats = Summarize(r, next.Workers)
	if old := c.latest.Swap(next); old != nil {
		close(old.replaced)
	}
}

// logTurn logs when a source begins or ceases to answer.
func (c *Collector) logTurn(source string, was, is bool, missing []string) {
	switch {
	case was && !is:
		c.log.Warn("a source does not answer", "source", source, "missing", missing)
	case !was && is:
		c.log.Info("a source answers", "source", source)
	}
}

// checkConservation counts and logs an answer in which tasks are lost or counted twice: a bug in the dispatcher.
func (c *Collector) checkConservation(d *pb.DispatcherGetStatusResponse) {
	if counts := tally(d.GetTasks()).Counts; !counts.Conserved() {
		c.violations.Add(1)
		c.log.Error("the dispatcher's counts do not conserve", "tasks", counts)
	}
}
