package discovery

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Dispatcher is the name under which the leading dispatcher is announced.
const Dispatcher = "dispatcher"

// Target is what to dial with a Finder: the leading dispatcher.
const Target = scheme + ":///" + Dispatcher

const scheme = "taskgrid"

// Config says where to look for the leading dispatcher.
type Config struct {
	// NameServices is a list as Open takes it. "": no name service is asked.
	NameServices string

	// Dispatcher is host:port, or several separated by commas, of dispatchers to try while the name services tell of none.
	Dispatcher string

	// Sender is who the calls say they are from.
	Sender string

	// DialOptions are added to those of every connection, those to the name services included.
	DialOptions []grpc.DialOption
}

// Finder finds the leading dispatcher for one connection; it is the connection's resolver. Its methods may be called
// concurrently.
type Finder struct {
	cfg   Config
	given []string

	mu     sync.Mutex
	search *search // runs while the connection needs a resolver
	view   view    // what the last lookup gave, for people

	moved signpost
	calls calls
}

// Moved returns a channel that is closed when the connection is next told to go elsewhere. Take it before a call: when
// the call fails, the moment to try again is when it is closed.
func (f *Finder) Moved() <-chan struct{} { return f.moved.wait() }

// view is what a lookup gave.
type view struct {
	heard   bool  // one name service at least has answered the last lookup
	trouble error // why there is no address from the name services; nil if there is one
	where   []string
}

// NewFinder returns a finder. The error names the flag whose value is wrong.
func NewFinder(cfg Config) (*Finder, error) {
	f := &Finder{cfg: cfg}
	if cfg.Dispatcher != "" {
		for item := range strings.SplitSeq(cfg.Dispatcher, ",") {
			address := strings.TrimSpace(item)
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
				return nil, fmt.Errorf("dispatcher: %q: must be host:port, or several separated by commas", cfg.Dispatcher)
			}
			f.given = append(f.given, address)
		}
	}
	if cfg.NameServices != "" {
		if _, err := Open(cfg.NameServices, cfg.Sender); err != nil {
			return nil, err
		}
	}
	if cfg.NameServices == "" && cfg.Dispatcher == "" {
		return nil, fmt.Errorf("dispatcher: neither its address nor a name service is given")
	}
	return f, nil
}

// Dial returns a connection that goes to the leading dispatcher, wherever it is. It connects on first use.
func (f *Finder) Dial(extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{
		rpc.To(rpc.Dispatcher),
		grpc.WithResolvers(f),
		grpc.WithChainUnaryInterceptor(f.followUnary),
		grpc.WithChainStreamInterceptor(f.followStream),
	}, f.cfg.DialOptions...)
	return rpc.Dial(Target, f.cfg.Sender, append(opts, extra...)...)
}

// Heard says whether a name service answered the last lookup: then there is a grid, though perhaps without a leader.
func (f *Finder) Heard() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view.heard
}

// Tried says in words where the dispatcher was looked for and what came of it.
func (f *Finder) Tried() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var tried []string
	if f.view.trouble != nil {
		tried = append(tried, strings.ReplaceAll(f.view.trouble.Error(), "\n", "; "))
	}
	for _, address := range f.view.where {
		tried = append(tried, "dispatcher "+address)
	}
	return strings.Join(tried, "; ")
}

// Scheme and Build make the Finder a resolver.Builder of grpc-go, which calls them.
func (f *Finder) Scheme() string { return scheme }

// Build begins to search for the connection cc. See Scheme.
func (f *Finder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	if target.Endpoint() != Dispatcher {
		return nil, fmt.Errorf("discovery: %q: only %s can be found", target.URL.String(), Target)
	}
	var ns *NameServices
	if f.cfg.NameServices != "" {
		var err error
		if ns, err = Open(f.cfg.NameServices, f.cfg.Sender, f.cfg.DialOptions...); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &search{finder: f, cc: cc, names: ns, choice: choice{given: f.given}, stop: stop,
		hints: make(chan string, 1), again: make(chan struct{}, 1), answers: make(chan answer, 1), news: make(chan Instance)}
	f.mu.Lock()
	f.search = s
	f.mu.Unlock()
	if ns != nil {
		s.watch = &watch{names: ns, service: Dispatcher, heard: func(i Instance) {
			select {
			case s.news <- i:
			case <-ctx.Done():
			}
		}}
		s.done.Go(func() { s.watch.run(ctx) })
	}
	s.done.Go(func() { s.run(ctx) })
	return s, nil
}

// follow goes to the leader that err names. If err says that who was asked does not lead, and names nobody, it goes to
// another of those that are known.
func (f *Finder) follow(err error) {
	hint := Hint(err)
	if hint == nil {
		return
	}
	f.mu.Lock()
	s := f.search
	f.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.hints <- hint.GetAddress():
	default: // one is on its way
	}
}

// Hint returns what a dispatcher that does not lead said about the leader, or nil if err is something else. Whoever gets
// a hint knows that the call was not carried out.
func Hint(err error) *pb.LeaderHint {
	if status.Code(err) != codes.Unavailable {
		return nil
	}
	for _, detail := range status.Convert(err).Details() {
		if hint, ok := detail.(*pb.LeaderHint); ok {
			return hint
		}
	}
	return nil
}
