// Package discovery finds the leading dispatcher through the name services, and lets it be found.
//
// The dispatcher that leads announces itself to every name service once a second (Announce), with its raft term. A
// caller (Finder) asks every name service and goes to the instance with the highest term. What one of them does not
// know, or that one of them is away, costs nothing as long as another answers; and what was learnt stays in use while
// none answers.
//
// For grpc-go this is a resolver of the scheme taskgrid:///dispatcher, so that a connection moves to a new leader by
// itself and no caller has a loop for it. Two things move it: a name service that tells of a higher term, which it does
// by itself (watch.go), and a LeaderHint in an UNAVAILABLE answer of a dispatcher that does not lead. A leader that has
// fallen silent gives none, and its connection looks well for many seconds; so the higher term also ends the calls that
// wait for it (calls.go).
package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// DefaultNameServices is where a name service listens unless somebody says otherwise.
const DefaultNameServices = "127.0.0.1:50051"

const (
	// callTimeout bounds one call to one name service. A healthy one answers within milliseconds; one that hangs must
	// not hold up what the others say.
	callTimeout = time.Second

	// maxNameServices bounds the addresses that the names of the list may stand for.
	maxNameServices = 64
)

// NameServices is a set of name services and the connections to them. Its methods may be called concurrently.
type NameServices struct {
	list   []string // host:port
	sender string
	opts   []grpc.DialOption

	mu    sync.Mutex
	conns map[string]*grpc.ClientConn // by address
}

// Open returns the name services of a list: host:port, separated by commas. A host may be a DNS name with many addresses;
// all of them are meant, and it is looked up again each time. Nothing is dialled before the first call. Sender is who
// the calls say they are from.
func Open(list, sender string, opts ...grpc.DialOption) (*NameServices, error) {
	n := &NameServices{sender: sender, opts: opts, conns: map[string]*grpc.ClientConn{}}
	for item := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(strings.TrimSpace(item))
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("nameservice: %q: must be host:port, or several separated by commas", list)
		}
		n.list = append(n.list, net.JoinHostPort(host, port))
	}
	return n, nil
}

// Answer is what one name service said to a call.
type Answer struct {
	Address string // of the name service
	Err     error
}

// Each calls do for all name services at the same time and returns what became of each, in the order of their addresses.
// The context of do ends after a second.
func (n *NameServices) Each(ctx context.Context, do func(context.Context, pb.NameServiceClient) error) []Answer {
	addresses := Resolve(ctx, n.list, net.DefaultResolver.LookupHost)
	answers := make([]Answer, len(addresses))
	var group sync.WaitGroup
	for i, address := range addresses {
		answers[i].Address = address
		conn, err := n.conn(address)
		if err != nil {
			answers[i].Err = err
			continue
		}
		group.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			answers[i].Err = do(bounded, pb.NewNameServiceClient(conn))
		})
	}
	group.Wait()
	n.closeExcept(addresses)
	return answers
}

// Instance is one announced instance of a service.
type Instance struct {
	ID      string
	Address string // host:port
	Term    uint64 // of two that say they lead, the higher is right
}

// Lookup asks all name services for a service and returns the instance with the highest term. It returns ok = false if
// none is announced, and an error that names each name service only if not one of them answered.
func (n *NameServices) Lookup(ctx context.Context, service string) (best Instance, ok bool, err error) {
	var mu sync.Mutex
	var found []Instance
	answers := n.Each(ctx, func(ctx context.Context, ns pb.NameServiceClient) error {
		resp, err := ns.LookupService(ctx, &pb.LookupServiceRequest{Service: service})
		mu.Lock()
		defer mu.Unlock()
		found = append(found, instances(resp.GetInstances())...)
		return err
	})
	if err := Silent(answers); err != nil {
		return Instance{}, false, err
	}
	if len(found) == 0 {
		return Instance{}, false, nil
	}
	return newest(found), true, nil
}

func instances(list []*pb.ServiceInstance) []Instance {
	found := make([]Instance, 0, len(list))
	for _, i := range list {
		found = append(found, Instance{i.InstanceId, i.Address, i.Term})
	}
	return found
}

// newest returns the instance with the highest term.
func newest(found []Instance) Instance {
	return slices.MaxFunc(found, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Term, b.Term), strings.Compare(a.ID, b.ID))
	})
}

// Silent returns nil if one of the name services answered, and otherwise an error that says for each why not.
func Silent(answers []Answer) error {
	var why []error
	for _, a := range answers {
		if a.Err == nil {
			return nil
		}
		why = append(why, fmt.Errorf("name service %s: %s", a.Address, Reason(a.Err)))
	}
	return errors.Join(why...)
}

// Close closes all connections.
func (n *NameServices) Close() { n.closeExcept(nil) }

func (n *NameServices) conn(address string) (*grpc.ClientConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if conn := n.conns[address]; conn != nil {
		return conn, nil
	}
	conn, err := rpc.Dial("passthrough:///"+address, n.sender, append([]grpc.DialOption{rpc.To(rpc.NameService)}, n.opts...)...)
	if err == nil {
		n.conns[address] = conn
	}
	return conn, err
}

// closeExcept closes the connections to addresses that the list no longer stands for.
func (n *NameServices) closeExcept(addresses []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, conn := range n.conns {
		if !slices.Contains(addresses, address) {
			conn.Close()
			delete(n.conns, address)
		}
	}
}
