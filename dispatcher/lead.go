package dispatcher

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"taskgrid/dispatcher/core"
	"taskgrid/internal/pulse"
	pb "taskgrid/proto/taskgrid/v1"
)

// maxTick is how often the scheduler is ticked at least: it looks then whether a breaker may be tried again, and what
// is old enough to be forgotten.
const maxTick = time.Second / 2

// follow takes up and lays down leadership as the journal says. In the end it resigns before it hangs up: that this
// process ends is no reason to give up what the workers run, which the next one adopts.
func (d *Dispatcher) follow(ctx context.Context) error {
	links := &links{d: d, running: map[string]*runningLink{}}
	defer links.stopAll()
	defer d.resign()
	ticker := time.NewTimer(maxTick)
	defer ticker.Stop()
	changes := d.journal.Leadership()
	for {
		select {
		case <-ctx.Done():
			return nil
		case change, ok := <-changes:
			switch {
			case !ok:
				return nil
			case change.Leading:
				d.lead(change.Term)
				links.reconcile()
			default:
				d.resign()
				links.stopAll()
			}
		case <-d.changed:
			if err := d.brokenError(); err != nil {
				return err
			}
			if d.updateWorkers() {
				links.reconcile()
			}
		case <-ticker.C:
			ticker.Reset(d.tick())
		case <-d.rearm:
			ticker.Reset(d.untilTick())
		}
	}
}

// lead begins a leadership: everything committed before is applied.
func (d *Dispatcher) lead(term uint64) {
	if d.takeUp(term) {
		d.log.Info("leading", "term", term)
	}
}

func (d *Dispatcher) takeUp(term uint64) bool {
	d.mu.Lock()
	defer d.unlock()
	if d.broken != nil {
		return false
	}
	cfg := d.cfg.core()
	if d.again++; term != d.term {
		d.again = 0
	}
	cfg.Again = d.again
	d.scheduler, d.term, d.inherited = core.NewScheduler(cfg, d.machine, term, time.Now()), term, d.machine.LastEvent()
	d.pulse = pulse.Pulse{}
	d.view.Changes()
	for _, w := range d.view.All() {
		d.scheduler.SetWorker(w)
	}
	d.passOn()
	return true
}

// resign ends a leadership. Whoever waits is told to look for the new leader.
func (d *Dispatcher) resign() {
	if term, led := d.Leading(); led {
		d.log.Info("no longer leading", "term", term)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stepDown()
}

// stepDown is resign under the lock.
func (d *Dispatcher) stepDown() {
	d.scheduler, d.owed, d.armed = nil, nil, time.Time{}
	d.dismissWaiters()
	d.news.tell() // whoever watches is not to wait for events that come to others
}

// Leading returns the term in which this replica leads.
func (d *Dispatcher) Leading() (term uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.term, d.scheduler != nil
}

func (d *Dispatcher) brokenError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken
}

// tick lets the scheduler do what is due, and returns how long to wait until the next time.
func (d *Dispatcher) tick() time.Duration {
	d.step(func(s *core.Scheduler) {
		d.armed = time.Time{}
		s.Tick()
		d.hurryPatient()
	})
	if still := d.takeStill(); still >= pulse.Notable {
		d.log.Warn("this process stood still; workers that hung up meanwhile may come back with what they run", "for", still.String())
	}
	return d.untilTick()
}

// takeStill returns for how long the process stood still that was not asked before.
func (d *Dispatcher) takeStill() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	still := d.still
	d.still = 0
	return still
}

func (d *Dispatcher) untilTick() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed.IsZero() {
		return maxTick
	}
	return min(maxTick, max(0, time.Until(d.armed)))
}

// updateWorkers gives the scheduler what has changed in the view, and tells whether this replica leads.
func (d *Dispatcher) updateWorkers() bool {
	return d.step(func(s *core.Scheduler) {
		changed, gone := d.view.Changes()
		for _, w := range changed {
			s.SetWorker(w)
		}
		for _, id := range gone {
			s.RemoveWorker(id)
		}
		d.hurryPatient()
	})
}

// links keeps one goroutine for each worker that the name services tell of. Only follow uses it.
type links struct {
	d       *Dispatcher
	running map[string]*runningLink // by worker
	group   sync.WaitGroup
}

type runningLink struct {
	info core.WorkerInfo
	stop context.CancelFunc
}

// reconcile starts links to workers that have none, and ends those to workers that are gone, have moved or were
// replaced by another process.
func (l *links) reconcile() {
	l.d.mu.Lock()
	workers := l.d.view.All()
	l.d.mu.Unlock()
	wanted := map[string]bool{}
	for _, w := range workers {
		wanted[w.ID] = true
		if r := l.running[w.ID]; r != nil {
			if r.info.Address == w.Address && r.info.LeaseID == w.LeaseID {
				continue
			}
			r.stop()
		}
		ctx, stop := context.WithCancel(context.Background()) // until stop or stopAll, no sooner: see follow
		l.running[w.ID] = &runningLink{info: w, stop: stop}
		l.group.Go(func() { l.d.keepLink(ctx, w) })
	}
	for id, r := range l.running {
		if !wanted[id] {
			r.stop()
			delete(l.running, id)
		}
	}
}

// stopAll ends all links and waits for them.
func (l *links) stopAll() {
	for id, r := range l.running {
		r.stop()
		delete(l.running, id)
	}
	l.group.Wait()
}

// ReportHealth keeps grpc.health.v1 true until ctx ends. The server as a whole is SERVING while this replica does its part,
// leading or following; the service taskgrid.v1.Dispatcher is while it leads.
func (d *Dispatcher) ReportHealth(ctx context.Context, hs *health.Server) error {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	for {
		_, leading := d.Leading()
		hs.SetServingStatus("", serving(leading || d.journal.Follows()))
		hs.SetServingStatus(pb.Dispatcher_ServiceDesc.ServiceName, serving(leading))
		select {
		case <-ctx.Done():
			hs.Shutdown()
			return nil
		case <-ticker.C:
		}
	}
}

func serving(yes bool) healthpb.HealthCheckResponse_ServingStatus {
	if yes {
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

// healthInterval is how soon a change of leadership shows in grpc.health.v1.
const healthInterval = 20 * time.Millisecond
