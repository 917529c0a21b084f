package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// The bounds of what a name service may ask for as heartbeat interval, and what holds if it asks for nothing.
	minInterval     = 10 * time.Millisecond
	maxInterval     = time.Minute
	defaultInterval = time.Second

	// callTimeout bounds every call to a name service. One that is paused answers nothing and refuses nothing.
	callTimeout = time.Second
)

// registration keeps the worker registered at one name service: it registers, sends heartbeats, and registers again when
// the name service does not know it any more. No error ends it; it tries until its context ends.
type registration struct {
	address string // of the name service
	conn    *grpc.ClientConn
	client  pb.NameServiceClient
	self    func() (*pb.RegisterWorkerRequest, error) // the worker as it is now
	load    func() (running int, processors float64)
	log     *slog.Logger
	metrics *metrics

	entered string // the worker's own address, as it was registered last

	mu       sync.Mutex
	draining bool // the name service says that the worker drains, perhaps because somebody asked for it there
	failing  bool // the last call failed, and the log says so
}

// run keeps the registration until ctx ends.
func (r *registration) run(ctx context.Context) {
	pause := newPause()
	for ctx.Err() == nil {
		interval, err := r.register(ctx)
		r.note(ctx, "register", err)
		if err != nil {
			sleep(ctx, pause.NextBackOff())
			continue
		}
		pause.Reset()
		r.keepAlive(ctx, interval)
	}
}

// keepAlive sends heartbeats until the name service does not know the lease or this worker under its address, or ctx ends.
func (r *registration) keepAlive(ctx context.Context, interval time.Duration) {
	pause := newPause()
	wait := jittered(interval)
	for sleep(ctx, wait) {
		if r.moved() {
			return
		}
		err := r.heartbeat(ctx)
		r.note(ctx, "heartbeat", err)
		switch {
		case status.Code(err) == codes.NotFound:
			return
		case err != nil:
			wait = min(pause.NextBackOff(), interval)
		default:
			pause.Reset()
			wait = jittered(interval)
		}
	}
}

// moved tells whether this worker has another address than it registered, as a container has that was cut off from its
// network and comes back: its heartbeats would keep a lease alive under which nobody can reach it.
func (r *registration) moved() bool {
	request, err := r.self()
	if err != nil || request.Address == r.entered {
		return false
	}
	r.log.Info("this worker has another address now: it registers again", "nameservice", r.address, "address", request.Address, "before", r.entered)
	return true
}

// register enters the worker and returns how often to send a heartbeat.
func (r *registration) register(ctx context.Context) (time.Duration, error) {
	request, err := r.self()
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	request.Draining = request.Draining || r.draining
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := r.client.RegisterWorker(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		r.metrics.registrations.WithLabelValues("error").Inc()
		return 0, err
	}
	r.metrics.registrations.WithLabelValues("ok").Inc()
	r.entered = request.Address
	interval := defaultInterval
	if response.HeartbeatInterval != nil {
		interval = min(max(response.HeartbeatInterval.AsDuration(), minInterval), maxInterval)
	}
	r.log.Info("registered", "nameservice", r.address, "address", request.Address, "heartbeat_interval", interval)
	return interval, nil
}

// heartbeat renews the lease.
func (r *registration) heartbeat(ctx context.Context) error {
	request, err := r.self()
	if err != nil {
		return err
	}
	running, load := r.load()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := r.client.Heartbeat(ctx, &pb.HeartbeatRequest{
		LeaseId:  request.LeaseId,
		WorkerId: request.WorkerId,
		Running:  uint32(running),
		Load:     float32(load),
	}, grpc.WaitForReady(true))
	switch {
	case status.Code(err) == codes.NotFound:
		r.metrics.heartbeats.WithLabelValues("not_found").Inc()
		return err
	case err != nil:
		r.metrics.heartbeats.WithLabelValues("error").Inc()
		return err
	}
	r.metrics.heartbeats.WithLabelValues("ok").Inc()
	drains := response.State == pb.WorkerState_WORKER_STATE_DRAINING
	r.mu.Lock()
	r.draining = drains // a name service that starts empty is told of it again
	r.mu.Unlock()
	if request.Draining && !drains { // it did not hear, or the registration was under way at that moment
		return r.drain(ctx, request.WorkerId, request.LeaseId)
	}
	return nil
}

// note writes a line when a call fails after one that worked, and the other way round.
func (r *registration) note(ctx context.Context, call string, err error) {
	r.mu.Lock()
	changed := r.failing != (err != nil)
	r.failing = err != nil
	r.mu.Unlock()
	switch {
	case ctx.Err() != nil || !changed && err == nil:
	case status.Code(err) == codes.NotFound:
		r.log.Warn("the name service does not know this worker: it registers again", "nameservice", r.address)
	case err != nil && changed && refused(err):
		r.log.Error("the name service refuses this worker: it keeps trying", "nameservice", r.address, "call", call, "error", discovery.Reason(err))
	case err != nil && changed:
		r.log.Warn("the name service does not answer: the worker keeps trying", "nameservice", r.address, "call", call, "error", discovery.Reason(err))
	case err != nil:
		r.log.Debug("the name service does not answer", "nameservice", r.address, "call", call, "error", discovery.Reason(err))
	}
}

// refused says whether the name service wants another token, or another certificate, than this worker has.
func refused(err error) bool {
	code := status.Code(err)
	return code == codes.Unauthenticated || code == codes.PermissionDenied
}

// drain marks the worker as one that gets nothing new.
func (r *registration) drain(ctx context.Context, workerID, leaseID string) error {
	_, err := r.client.SetDraining(ctx, &pb.SetDrainingRequest{WorkerId: workerID, LeaseId: leaseID, Draining: true})
	return err
}

// leave ends the lease.
func (r *registration) leave(ctx context.Context, leaseID string) error {
	_, err := r.client.DeregisterWorker(ctx, &pb.DeregisterWorkerRequest{LeaseId: leaseID})
	return err
}
