package workers

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// maxOutcomes and maxOutcomeBytes bound the outcomes that are kept for a dispatcher that does not acknowledge them.
	// They hold what a worker at full speed does in half a second, longer than a dispatcher's disk takes.
	maxOutcomes     = 65536
	maxOutcomeBytes = 64 << 20

	// lastWords is how long a worker that ends takes at most for each of the last steps: to tell what it hands back, to
	// let streams end, to wait for handlers that it has stopped.
	lastWords = time.Second
)

// Worker is one worker process: a server that runs attempts, and its registrations.
type Worker struct {
	cfg     Config
	leaseID string
	log     *slog.Logger
	metrics *metrics
	engine  *engine
	service *service
	server  *rpc.Server
	health  *health.Server
	names   *nameServices
	load    processorLoad

	mu       sync.Mutex
	draining bool
}

// New returns a worker that does nothing yet. It is good for one Run.
func New(cfg Config) *Worker {
	w := &Worker{cfg: cfg, leaseID: newLeaseID(), log: cfg.Log.With("worker_id", cfg.ID)}
	w.cfg.Log = w.log
	w.metrics = newMetrics(cfg.Metrics, cfg.Handlers)
	w.engine = newEngine(w.cfg, w.metrics)
	w.metrics.watch(cfg.Metrics, w.engine.load)
	w.service = &service{workerID: cfg.ID, leaseID: w.leaseID, window: cfg.Window, engine: w.engine}
	w.server, w.health = rpc.NewServer(cfg.ServerOptions...)
	pb.RegisterWorkerServiceServer(w.server, w.service)
	w.names = &nameServices{
		hosts:   cfg.NameServices,
		resolve: net.DefaultResolver.LookupHost,
		open:    w.register,
		active:  map[string]*registration{},
	}
	return w
}

// Run serves until ctx ends and then drains, in this order:
//
//  1. The name services are told, so that the dispatcher hands nothing more over. Heartbeats go on.
//  2. New assignments are refused, those that wait are handed back, health says NOT_SERVING.
//  3. Running attempts go on for at most the drain grace; their outcomes are told and acknowledged.
//  4. What still runs is stopped and handed back.
//  5. Heartbeats end, the worker is deregistered.
//  6. The stream ends, the server stops, handlers that do not heed their context are left behind.
//
// It returns an error only if it could not serve.
func (w *Worker) Run(ctx context.Context) error {
	// The steps are begun and ended one by one, so none of them lives under ctx itself.
	background, stopAll := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopAll(nil)

	var executors sync.WaitGroup
	for range w.cfg.Capacity {
		executors.Go(w.engine.execute)
	}
	serving, stopServing := w.start(background, stopAll, func(ctx context.Context) error {
		return process.ServeGRPC(ctx, w.server, w.cfg.Listener, lastWords)
	})
	watching, stopWatching := w.start(background, stopAll, w.engine.watchOverdue)
	registered, stopRegistering := w.start(background, stopAll, w.names.run)

	select {
	case <-ctx.Done():
		w.drain(background)
	case <-background.Done(): // something failed
	}

	stopRegistering()
	<-registered
	w.names.leave(context.WithoutCancel(ctx), w.leaseID)
	w.names.close()
	w.engine.close()
	stopServing()
	<-serving
	w.service.readers.Wait()
	stopWatching()
	<-watching
	w.leaveBehind(&executors)
	if err := context.Cause(background); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// start runs one part in a goroutine of its own until stop is called; done is closed when it has ended. Its error ends
// the parent.
func (w *Worker) start(parent context.Context, fail context.CancelCauseFunc, part func(context.Context) error) (done <-chan struct{}, stop context.CancelFunc) {
	ctx, stop := context.WithCancel(context.WithoutCancel(parent))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := part(ctx); err != nil {
			fail(err)
		}
	}()
	return ended, stop
}

// drain does the steps 1 to 4.
func (w *Worker) drain(ctx context.Context) {
	w.mu.Lock()
	w.draining = true // a name service that starts now is told with the registration
	w.mu.Unlock()
	w.log.Info("draining", "grace", w.cfg.DrainGrace)
	w.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	w.names.drain(ctx, w.cfg.ID, w.leaseID)
	if within(w.engine.drain(), w.cfg.DrainGrace) {
		w.log.Info("drained: every attempt is finished")
		return
	}
	told, count := w.engine.handBack()
	within(told, lastWords)
	w.log.Warn("the drain grace is over", "handed_back", count, "unacknowledged", w.engine.load().Unacknowledged)
}

// leaveBehind waits a moment for the executors.
func (w *Worker) leaveBehind(executors *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { // ends with the handlers, or with the process
		defer close(ended)
		executors.Wait()
	}()
	if !within(ended, lastWords) {
		w.log.Warn("handlers that ignore their context are left behind", "running", w.engine.load().Running)
	}
}

// within waits for done, but no longer than limit.
func within(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// register returns a registration at one name service, not yet running.
func (w *Worker) register(address string) (*registration, error) {
	opts := append([]grpc.DialOption{rpc.To(rpc.NameService)}, w.cfg.DialOptions...)
	conn, err := rpc.Dial("passthrough:///"+address, w.cfg.ID, opts...)
	if err != nil {
		return nil, err
	}
	return &registration{
		address: address,
		conn:    conn,
		client:  pb.NewNameServiceClient(conn),
		self:    w.describe,
		load:    func() (int, float64) { return w.engine.load().Running, w.load.busy() },
		log:     w.log,
		metrics: w.metrics,
	}, nil
}

// describe returns the worker as the name services are to enter it.
func (w *Worker) describe() (*pb.RegisterWorkerRequest, error) {
	address, err := discovery.OwnAddress(w.cfg.Advertise, w.cfg.Listener.Addr(), w.names.current())
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &pb.RegisterWorkerRequest{
		WorkerId: w.cfg.ID,
		LeaseId:  w.leaseID,
		Types:    slices.Sorted(maps.Keys(w.cfg.Handlers)),
		Address:  address,
		Capacity: uint32(w.cfg.Capacity),
		Labels:   w.cfg.Labels,
		Version:  w.cfg.Version,
		Draining: w.draining,
	}, nil
}

// newLeaseID returns the lease of this process: whoever knows it may end the registration, so it cannot be guessed.
func newLeaseID() string { return strings.ToLower(rand.Text()) }

// NewID returns a worker id for a process that was not given one: its types and some random letters.
func NewID(types []string) string {
	const most = 48 // of the 64 characters that an id may have
	name := strings.Join(types, "-")
	if len(name) > most {
		name = fmt.Sprintf("%s-and-%d-more", types[0], len(types)-1)
	}
	return name + "-" + strings.ToLower(rand.Text())[:6]
}
