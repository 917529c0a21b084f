package virtual

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"taskgrid/dispatcher"
	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/workers"
)

// grace is how long the calls of a server may still run when it stops.
const grace = time.Second

// Process is something that runs on a host of its own.
type Process struct {
	*Host
	stop  context.CancelFunc
	ended chan struct{}
	err   error // what it returned; read it after ended
	dead  context.Context
	die   context.CancelFunc
}

// run starts a process. It is stopped at the end of the test, and must not return an error unless it was killed.
func (g *Grid) run(h *Host, do func(ctx context.Context, p *Process) error) *Process {
	ctx, stop := context.WithCancel(context.Background())
	p := &Process{Host: h, stop: stop, ended: make(chan struct{})}
	p.dead, p.die = context.WithCancel(context.Background())
	go func() {
		defer close(p.ended)
		p.err = do(ctx, p)
	}()
	g.t.Cleanup(func() {
		p.Thaw()
		p.Stop()
		if p.err != nil && p.dead.Err() == nil {
			g.t.Errorf("the process at %s ended with %v", h.Address, p.err)
		}
		p.die()
	})
	return p
}

// Stop ends the process as SIGTERM does, waits until it has ended, and makes its address free.
func (p *Process) Stop() {
	p.Term()
	<-p.ended
	p.Unplug()
}

// Term is SIGTERM: the process begins to end.
func (p *Process) Term() { p.stop() }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process as kill -9 does, as far as anybody can see: from this moment on nothing that it does has an
// effect. Its goroutines end a little later.
func (p *Process) Kill() {
	p.Unplug() // first: what its work says when it is cut short is not to arrive
	p.die()
	p.stop()
}

// NameService is a running name service.
type NameService struct {
	*Process
	grid *Grid
}

// Times are the defaults of the name service's flags.
var Times = nameservice.Times{HeartbeatInterval: time.Second, UnhealthyAfter: 3 * time.Second, OfflineAfter: 10 * time.Second, ForgetAfter: time.Minute}

// StartNameService starts a name service at NameServiceAddress.
func (g *Grid) StartNameService() *NameService {
	host := g.Network.Attach(NameServiceAddress)
	service := nameservice.NewServer(nameservice.Options{Times: Times, MaxWorkers: 1000, MaxWatchers: 1000}, g.logger("nameservice"))
	server, _ := rpc.NewServer(nameservice.Codec())
	pb.RegisterNameServiceServer(server, service)
	return &NameService{grid: g, Process: g.run(host, func(ctx context.Context, _ *Process) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return service.Run(ctx) })
		group.Go(func() error { return process.ServeGRPC(ctx, server, host.Listener(), grace) })
		return group.Wait()
	})}
}

// Restart kills the name service and starts an empty one in its place.
func (n *NameService) Restart() *NameService {
	n.Kill()
	return n.grid.StartNameService()
}

// Dispatcher is a running dispatcher.
type Dispatcher struct {
	*Process
	*dispatcher.Dispatcher
	Disk    *Disk
	Metrics *prometheus.Registry

	grid  *Grid
	cfg   dispatcher.Config
	mount *mount
}

// StartDispatcher starts a dispatcher with an empty disk, and waits until it leads. change may change its configuration
// first.
func (g *Grid) StartDispatcher(change ...func(*dispatcher.Config)) *Dispatcher {
	g.t.Helper()
	cfg := dispatcher.DefaultConfig()
	cfg.Journal.ID = "d1"
	for _, c := range change {
		c(&cfg)
	}
	d := g.startDispatcher(cfg, g.address(50052), NewDisk())
	d.awaitLeading()
	return d
}

// startDispatcher starts a dispatcher and does not wait for anything.
func (g *Grid) startDispatcher(cfg dispatcher.Config, address string, disk *Disk) *Dispatcher {
	g.t.Helper()
	host := g.Network.Attach(address)
	m := disk.mount()
	d := &Dispatcher{Disk: disk, Metrics: prometheus.NewRegistry(), grid: g, mount: m}
	cfg.NameServices = NameServiceAddress
	cfg.Journal.Stores = m.stores()
	cfg.Logger, cfg.Registerer = g.logger(cfg.Journal.ID), d.Metrics
	cfg.Dial = func(_ rpc.Role, to string) (*grpc.ClientConn, error) {
		return rpc.Dial("passthrough:///"+to, "dispatcher", host.Dialer())
	}
	cfg.Resolve = func(_ context.Context, name string) ([]string, error) { return []string{name}, nil }
	cfg.Service = func() string { return address }
	d.cfg = cfg
	var err error
	if d.Dispatcher, err = dispatcher.New(cfg); err != nil {
		g.t.Fatalf("dispatcher: %v", err)
	}
	server, health := rpc.NewServer()
	pb.RegisterDispatcherServer(server, dispatcher.NewServer(d.Dispatcher))
	d.Process = g.run(host, func(ctx context.Context, _ *Process) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return d.Run(ctx) })
		group.Go(func() error { return process.ServeGRPC(ctx, server, host.Listener(), grace) })
		group.Go(func() error { return d.ReportHealth(ctx, health) })
		group.Go(func() error {
			return discovery.Announce(ctx, NameServiceAddress, cfg.Journal.ID, func() (string, error) { return address, nil }, d.Leading, cfg.Logger, host.Dialer())
		})
		return group.Wait()
	})
	return d
}

// awaitLeading waits until the dispatcher leads.
func (d *Dispatcher) awaitLeading() {
	d.grid.t.Helper()
	for range 1000 {
		if _, ok := d.Leading(); ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.grid.t.Fatal("no dispatcher leads after 10 s")
}

// Kill is Process.Kill; nothing more gets onto the disk.
func (d *Dispatcher) Kill() {
	d.mount.gone.Store(true)
	d.Process.Kill()
	<-d.Ended()
}

// FillDisk lets the dispatcher's next write find no space. It ends with an error then, as it should.
func (d *Dispatcher) FillDisk() {
	d.die()
	d.mount.full.Store(true)
}

// Restart starts a new dispatcher on the disk of one that was stopped or killed, at the same address, and waits until it
// leads. change may change its configuration first.
func (d *Dispatcher) Restart(change ...func(*dispatcher.Config)) *Dispatcher {
	d.grid.t.Helper()
	<-d.Ended()
	cfg := d.cfg
	for _, c := range change {
		c(&cfg)
	}
	again := d.grid.startDispatcher(cfg, d.Address, d.Disk)
	again.awaitLeading()
	return again
}

// API returns the dispatcher's service, for calls without the library.
func (d *Dispatcher) API() pb.DispatcherClient {
	return pb.NewDispatcherClient(d.grid.Connect(d.Address))
}

// Worker is a running worker.
type Worker struct {
	*Process
	ID   string
	grid *Grid
	cfg  workers.Config
}

// Builtin returns handlers of the types that `taskgrid worker` has. A name that it has not is a bug of the test.
func Builtin(types ...string) map[string]workers.Handler {
	handlers, _, err := workers.Select(types)
	if err != nil {
		panic(err)
	}
	return handlers
}

// StartWorker starts a worker with a capacity of 10, no window and a drain grace of 10 s. change may change that first.
func (g *Grid) StartWorker(id string, handlers map[string]workers.Handler, change ...func(*workers.Config)) *Worker {
	g.t.Helper()
	cfg := workers.Config{
		ID: id, Handlers: handlers, Capacity: 10, Version: "test", Advertise: g.address(50060),
		NameServices: []string{NameServiceAddress}, DrainGrace: 10 * time.Second, MaxResult: 64 << 10,
	}
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		g.t.Fatalf("worker %s: %v", id, err)
	}
	return g.startWorker(cfg)
}

func (g *Grid) startWorker(cfg workers.Config) *Worker {
	w := &Worker{ID: cfg.ID, grid: g, cfg: cfg}
	host := g.Network.Attach(cfg.Advertise)
	ready := make(chan struct{})
	handlers := map[string]workers.Handler{}
	for typ, handler := range cfg.Handlers {
		handlers[typ] = func(ctx context.Context, payload string) (string, error) {
			<-ready
			ctx, stop := context.WithCancel(ctx) // a killed process computes no more
			defer stop()
			defer context.AfterFunc(w.dead, stop)()
			return handler(ctx, payload)
		}
	}
	cfg.Handlers, cfg.Listener = handlers, host.Listener()
	cfg.Log, cfg.Metrics = g.logger(cfg.ID), prometheus.NewRegistry()
	cfg.DialOptions = []grpc.DialOption{host.Dialer()}
	w.Process = g.run(host, func(ctx context.Context, _ *Process) error { return workers.New(cfg).Run(ctx) })
	close(ready)
	return w
}

// Restart starts the worker anew, under its id and at its address, after it was stopped or killed.
func (w *Worker) Restart() *Worker { return w.grid.startWorker(w.cfg) }

// Together runs functions at the same time and waits for all of them.
func Together(n int, do func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { do(i) })
	}
	group.Wait()
}
