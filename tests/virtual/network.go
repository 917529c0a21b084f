package virtual

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// pipeBytes is how much one direction of a connection holds before the writer waits.
const pipeBytes = 1 << 20

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
	h := &Host{Address: address, network: n, listener: bufconn.Listen(pipeBytes), links: map[*link]bool{}}
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
	refused := from.unplugged || to == nil || to.unplugged
	n.mu.Unlock()
	if refused {
		return nil, fmt.Errorf("dial tcp %s: connect: connection refused", address)
	}
	conn, err := to.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn, ends: [2]*Host{from, to}, closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if from.unplugged || to.unplugged { // meanwhile
		conn.Close()
		return nil, fmt.Errorf("dial tcp %s: connect: connection reset", address)
	}
	n.dialed[[2]string{from.Address, address}]++
	from.links[l], to.links[l] = true, true
	return l, nil
}

// Host is one process as the network sees it.
type Host struct {
	Address string

	network  *Network
	listener *bufconn.Listener

	// Guarded by network.mu.
	links     map[*link]bool
	unplugged bool
	thaw      chan struct{} // while frozen; closed by Thaw
}

// Listener returns what the host's server listens on.
func (h *Host) Listener() net.Listener { return h.listener }

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
	}
}

// Freeze stops everything from and to the host; connections stay open, and new ones are taken and not answered.
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

// link is a connection, seen from the end that dialled. Both directions pass its gates.
type link struct {
	net.Conn
	ends   [2]*Host
	once   sync.Once
	closed chan struct{}
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.pass()
	return n, err
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	l.pass()
	return l.Conn.Write(p)
}

// pass waits while one of the ends is frozen.
func (l *link) pass() {
	for {
		l.ends[0].network.mu.Lock()
		thaw := l.ends[0].thaw
		if thaw == nil {
			thaw = l.ends[1].thaw
		}
		l.ends[0].network.mu.Unlock()
		if thaw == nil {
			return
		}
		select {
		case <-thaw:
		case <-l.closed:
			return
		}
	}
}

// Close implements net.Conn.
func (l *link) Close() (err error) {
	l.once.Do(func() {
		close(l.closed)
		l.ends[0].network.mu.Lock()
		delete(l.ends[0].links, l)
		delete(l.ends[1].links, l)
		l.ends[0].network.mu.Unlock()
		err = l.Conn.Close()
	})
	return err
}
