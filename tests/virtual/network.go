package virtual

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
)

// Network connects hosts in memory. Its methods may be called concurrently.
type Network struct {
	mu     sync.Mutex
	hosts  map[string]*Host // by address
	dialed map[[2]string]int
}

// NewNetwork returns a network without hosts.
func NewNetwork() *Network {
	return &Network{hosts: map[string]*Host{}, dialed: map[[2]string]int{}}
}

// Attach adds a host at an address, host:port. It takes the place of one that was unplugged.
func (n *Network) Attach(address string) *Host {
	h := &Host{Address: address, network: n, incoming: make(chan net.Conn), closed: make(chan struct{}), links: map[*link]bool{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.hosts[address]; old != nil && !old.unplugged {
		panic("virtual: two hosts at " + address)
	}
	n.hosts[address] = h
	return h
}

// Dialed returns how often a connection from one address to another was opened.
func (n *Network) Dialed(from, to string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialed[[2]string{from, to}]
}

// dial connects two hosts, as net.Dial would.
func (n *Network) dial(ctx context.Context, from *Host, address string) (net.Conn, error) {
	n.mu.Lock()
	to := n.hosts[address]
	n.mu.Unlock()
	if to == nil {
		return nil, refused(address)
	}
	near, far := connect(from, to)
	n.mu.Lock()
	if from.unplugged || to.unplugged {
		n.mu.Unlock()
		return nil, refused(address)
	}
	n.dialed[[2]string{from.Address, address}]++
	from.links[near], to.links[far] = true, true
	n.mu.Unlock()
	select {
	case to.incoming <- far:
		return near, nil
	case <-to.closed:
		near.Close()
		far.Close()
		return nil, refused(address)
	case <-ctx.Done():
		near.Close()
		far.Close()
		return nil, ctx.Err()
	}
}

func refused(address string) error {
	return fmt.Errorf("dial tcp %s: connect: connection refused", address)
}

// Host is one process as the network sees it.
type Host struct {
	Address string

	network  *Network
	incoming chan net.Conn
	closed   chan struct{} // nobody listens any more
	once     sync.Once

	// Guarded by network.mu.
	links     map[*link]bool
	unplugged bool
	thaw      chan struct{} // while frozen; closed by Thaw
}

// Listener returns what the host's server listens on.
func (h *Host) Listener() net.Listener { return listener{h} }

// listener is a host as a net.Listener.
type listener struct{ host *Host }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.host.incoming:
		return conn, nil
	case <-l.host.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l listener) Close() error {
	l.host.once.Do(func() { close(l.host.closed) })
	return nil
}

// Addr implements net.Listener.
func (l listener) Addr() net.Addr { return address(l.host.Address) }

// address is a host:port.
type address string

// Network implements net.Addr.
func (address) Network() string { return "virtual" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// Dialer makes a gRPC connection go out from this host. The target is to be passthrough:///address.
func (h *Host) Dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		return h.network.dial(ctx, h, address)
	})
}

// Unplug breaks all connections of the host, for good: nothing it sends arrives, and it is reached by nobody.
func (h *Host) Unplug() {
	h.network.mu.Lock()
	h.unplugged = true
	h.network.mu.Unlock()
	h.Break()
}

// Break breaks the connections that the host has at the moment.
func (h *Host) Break() {
	h.network.mu.Lock()
	var broken []*link
	for l := range h.links {
		broken = append(broken, l)
	}
	h.network.mu.Unlock()
	for _, l := range broken {
		l.Close()
		l.other.Close()
	}
}

// Freeze stops the host: it reads nothing and writes nothing. Its connections stay open, and new ones are taken and not
// answered.
func (h *Host) Freeze() {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.thaw == nil {
		h.thaw = make(chan struct{})
	}
}

// Thaw undoes Freeze; what was held up arrives.
func (h *Host) Thaw() {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.thaw != nil {
		close(h.thaw)
		h.thaw = nil
	}
}
