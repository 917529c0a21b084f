package nameservice

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/process"
	"taskgrid/internal/pulse"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	maxServices   = 1024
	maxDepartures = 65_536

	// maxTableBytes bounds the whole table, encoded; it leaves room in a message for what stands around it.
	maxTableBytes = rpc.MaxMessage * 3 / 4
)

// Options say how a Server is to behave.
type Options struct {
	Times       Times
	MaxWorkers  int
	MaxWatchers int
	// Version is what GetStatus says the version of the program is.
	Version string
	// Authorize returns the error for a caller that is no member of the grid. Who is none may look up, watch services, and
	// is told no lease; everything else wants a member: what changes the table, and WatchWorkers. Nil: everybody is one.
	Authorize func(context.Context) error
}

// Validate returns an error that names the first bad value as the flag that sets it.
func (o Options) Validate() error {
	if err := o.Times.Validate(); err != nil {
		return err
	}
	if o.MaxWorkers < 1 {
		return fmt.Errorf("max-workers: %d: must be at least 1", o.MaxWorkers)
	}
	if o.MaxWatchers < 1 {
		return fmt.Errorf("max-watchers: %d: must be at least 1", o.MaxWatchers)
	}
	return nil
}

// Server is the gRPC face of a Registry. Run must run for watchers to hear of changes.
type Server struct {
	pb.UnimplementedNameServiceServer

	opts    Options
	log     *slog.Logger
	epoch   string
	started time.Time
	dirty   chan struct{} // holds one token while there are changes that were not published
	stopped chan struct{} // closed when Run ends

	lookups         atomic.Uint64 // LookupWorkers answered
	watchersDropped atomic.Uint64 // watches ended because they fell too far behind
	lines           process.LineBudget

	mu       sync.Mutex
	registry *Registry
	pulse    pulse.Pulse   // beats while Run runs
	running  bool          // Run runs
	still    time.Duration // for how long this process stood still, and the log does not know yet
	watchers int
	news     newsroom
	callers  callers
	answers  map[question]answer
}

// NewServer returns a server with an empty registry that begins now, and an epoch of its own.
func NewServer(opts Options, log *slog.Logger) *Server {
	now := time.Now()
	limits := Limits{Workers: opts.MaxWorkers, Bytes: maxTableBytes, Services: maxServices, Departures: maxDepartures}
	return &Server{
		opts:     opts,
		log:      log,
		epoch:    randomWord(),
		started:  now,
		dirty:    make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		registry: NewRegistry(opts.Times, limits, now),
		news:     newNewsroom(),
		callers:  callers{told: make(chan struct{})},
		answers:  map[question]answer{},
	}
}

// randomWord returns 20 characters of a-z and 2-7 that nobody can guess: 100 random bits.
func randomWord() string { return strings.ToLower(rand.Text()[:20]) }

// ask calls do with the registry and the time, under the lock, and sees to it that watchers hear of what changed.
func (s *Server) ask(do func(r *Registry, now time.Time)) {
	s.mu.Lock()
	do(s.registry, s.now())
	s.tellCallers()
	changed := s.registry.Version() != s.news.version
	s.mu.Unlock()
	if changed {
		select {
		case s.dirty <- struct{}{}:
		default:
		}
	}
}

// note writes a line about a worker into the log, unless there were too many of them in this second: nobody is to fill the
// disk by registering again and again.
func (s *Server) note(ctx context.Context, level slog.Level, what, worker string, more ...any) {
	if s.lines.Allows(time.Now()) {
		s.log.Log(ctx, level, what, append([]any{"request_id", rpc.RequestID(ctx), "worker_id", worker}, more...)...)
	}
}

// RegisterWorker implements NameService.
func (s *Server) RegisterWorker(ctx context.Context, req *pb.RegisterWorkerRequest) (*pb.RegisterWorkerResponse, error) {
	if err := s.authorize(ctx); err != nil {
		return nil, err
	}
	application := fromRegister(req)
	application.FreshLease = randomWord()
	var done Registered
	var err error
	s.ask(func(r *Registry, now time.Time) { done, err = r.Register(now, application) })
	if err != nil {
		s.note(ctx, slog.LevelWarn, "registration refused", req.WorkerId, "address", req.Address, "error", err)
		return nil, toStatus(err)
	}
	s.note(ctx, slog.LevelInfo, "worker registered", req.WorkerId, "address", req.Address, "types", req.Types, "capacity", req.Capacity,
		"replaced_address", done.Replaced)
	return &pb.RegisterWorkerResponse{
		LeaseId:           done.Lease,
		Ttl:               durationpb.New(s.opts.Times.OfflineAfter),
		HeartbeatInterval: durationpb.New(s.opts.Times.HeartbeatInterval),
	}, nil
}

// Heartbeat implements NameService.
func (s *Server) Heartbeat(ctx context.Context, req *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	if err := s.authorize(ctx); err != nil {
		return nil, err
	}
	err := cmp.Or(required("lease_id", req.LeaseId), required("worker_id", req.WorkerId), checkLoad(req.Load))
	if err != nil {
		return nil, toStatus(err)
	}
	var state State
	s.ask(func(r *Registry, now time.Time) {
		state, err = r.Heartbeat(now, req.LeaseId, req.WorkerId, req.Running, req.Load)
	})
	if errors.Is(err, ErrReplaced) { // a restart replaces the dead; here the one that was replaced lives
		s.note(ctx, slog.LevelWarn, "two processes bear the same worker_id", req.WorkerId, "error", err)
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.HeartbeatResponse{State: toState(state)}, nil
}

// SetDraining implements NameService.
func (s *Server) SetDraining(ctx context.Context, req *pb.SetDrainingRequest) (*pb.SetDrainingResponse, error) {
	if err := s.authorize(ctx); err != nil {
		return nil, err
	}
	err := required("worker_id", req.WorkerId)
	if err != nil {
		return nil, toStatus(err)
	}
	s.ask(func(r *Registry, now time.Time) { err = r.SetDraining(now, req.WorkerId, req.LeaseId, req.Draining) })
	if err != nil {
		return nil, toStatus(err)
	}
	s.note(ctx, slog.LevelInfo, "worker draining", req.WorkerId, "draining", req.Draining)
	return &pb.SetDrainingResponse{}, nil
}

// DeregisterWorker implements NameService.
func (s *Server) DeregisterWorker(ctx context.Context, req *pb.DeregisterWorkerRequest) (*pb.DeregisterWorkerResponse, error) {
	if err := s.authorize(ctx); err != nil {
		return nil, err
	}
	if err := required("lease_id", req.LeaseId); err != nil {
		return nil, toStatus(err)
	}
	var id string
	s.ask(func(r *Registry, now time.Time) { id = r.Deregister(now, req.LeaseId) })
	if id != "" {
		s.note(ctx, slog.LevelInfo, "worker deregistered", id)
	}
	return &pb.DeregisterWorkerResponse{}, nil
}

// LookupWorkers implements NameService.
func (s *Server) LookupWorkers(ctx context.Context, req *pb.LookupWorkersRequest) (*pb.LookupWorkersResponse, error) {
	if err := checkFilter(req.Type); err != nil {
		return nil, toStatus(err)
	}
	question := question{req.Type, req.AllStates, s.authorize(ctx) == nil}
	var kept, now answer
	var found []Worker
	s.ask(func(r *Registry, at time.Time) {
		kept, now = s.answers[question], answer{edition: r.Edition(at, req.Type), settled: r.Settled(at)}
		if !kept.still(now) {
			found = r.Lookup(at, req.Type, req.AllStates)
		}
	})
	s.lookups.Add(1)
	if kept.still(now) {
		return kept.message, nil
	}
	now.message = &pb.LookupWorkersResponse{Workers: toWorkers(s.shownTo(ctx, found)), Settled: now.settled}
	return s.keepAnswer(question, now), nil
}

// AnnounceService implements NameService.
func (s *Server) AnnounceService(ctx context.Context, req *pb.AnnounceServiceRequest) (*pb.AnnounceServiceResponse, error) {
	if err := s.authorize(ctx); err != nil {
		return nil, err
	}
	instance := Instance{ID: req.InstanceId, Address: req.Address, Term: req.Term}
	var err error
	s.ask(func(r *Registry, now time.Time) { err = r.Announce(now, req.Service, instance) })
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.AnnounceServiceResponse{
		Ttl:               durationpb.New(s.opts.Times.OfflineAfter),
		HeartbeatInterval: durationpb.New(s.opts.Times.HeartbeatInterval),
	}, nil
}

// LookupService implements NameService.
func (s *Server) LookupService(_ context.Context, req *pb.LookupServiceRequest) (*pb.LookupServiceResponse, error) {
	if err := checkName("service", req.Service, maxType, typeCharacters); err != nil {
		return nil, toStatus(err)
	}
	var found []Instance
	s.ask(func(r *Registry, now time.Time) { found = r.LookupService(now, req.Service) })
	return &pb.LookupServiceResponse{Instances: toInstances(found)}, nil
}

// GetStatus implements NameService.
func (s *Server) GetStatus(ctx context.Context, _ *pb.NameServiceGetStatusRequest) (*pb.NameServiceGetStatusResponse, error) {
	it := s.report()
	return &pb.NameServiceGetStatusResponse{
		Epoch:         s.epoch,
		Uptime:        durationpb.New(time.Since(s.started)),
		Settled:       it.Settled,
		Workers:       toWorkers(s.shownTo(ctx, it.Workers)),
		Registrations: it.counts.Registrations,
		Heartbeats:    it.counts.Heartbeats,
		UnknownLeases: it.counts.UnknownLeases,
		Watchers:      uint32(it.watchers),
		Version:       s.opts.Version,
	}, nil
}

// report is everything that GetStatus and the metrics tell of the registry.
type report struct {
	View
	counts   Counts
	services int
	watchers int
	callers  int
}

func (s *Server) report() (it report) {
	s.ask(func(r *Registry, now time.Time) {
		it = report{View: r.Snapshot(now, ""), counts: r.Counts(), services: r.Services(now), watchers: s.watchers, callers: s.callers.watching}
	})
	return it
}

func (s *Server) authorize(ctx context.Context) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.opts.Authorize(ctx)
}

// shownTo takes the leases out of a list for a caller that is no member: who knows a lease could answer in the worker's
// name at an address that the worker has left. The list must be the caller's own copy.
func (s *Server) shownTo(ctx context.Context, workers []Worker) []Worker {
	if s.authorize(ctx) != nil {
		for i := range workers {
			workers[i].Lease = ""
		}
	}
	return workers
}
