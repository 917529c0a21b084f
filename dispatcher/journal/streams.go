package journal

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"taskgrid/internal/bounded"
)

// streams are the TCP connections between nodes. The nodes are known to each other by the addresses in Config and not
// by what those resolve to today: a container may come back with another address. Closing them closes every
// connection, those that others opened as well, which raft's own TCP transport leaves to the others.
type streams struct {
	net.Listener
	self   address
	secure *Secure // nil: plain

	mu     sync.Mutex
	open   map[*stream]bool
	closed bool
}

// maxConnections is how many connections others may have open to the raft port: far more than the members need.
const maxConnections = 512

// listen takes the port of this node, which the others reach as self.
func listen(on, self string, secure *Secure) (*streams, error) {
	l, err := net.Listen("tcp", on)
	if err != nil {
		return nil, err
	}
	return &streams{Listener: bounded.Listen(l, maxConnections, nil), self: address(self), secure: secure, open: map[*stream]bool{}}, nil
}

// Addr implements net.Listener.
func (s *streams) Addr() net.Addr { return s.self }

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.add(s.secure.accepted(c))
}

// Dial implements raft.StreamLayer.
func (s *streams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := dialRaft(string(to), timeout, s.secure)
	if err != nil {
		return nil, err
	}
	return s.add(c)
}

// dialRaft opens a connection to another node's raft port.
func dialRaft(address string, timeout time.Duration, secure *Secure) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	return secure.opened(c, timeout)
}

func (s *streams) add(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	one := &stream{c, s}
	s.open[one] = true
	return one, nil
}

// Close implements net.Listener.
func (s *streams) Close() error {
	errs := []error{s.Listener.Close()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		errs = append(errs, c.Conn.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}

// stream is a connection that is taken off the list when it is closed.
type stream struct {
	net.Conn
	of *streams
}

// Close implements net.Conn.
func (c *stream) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// address is a host:port that is not resolved.
type address string

// Network implements net.Addr.
func (a address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
