package journal

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// handshakeTimeout bounds how long another node may take to say who it is.
const handshakeTimeout = 5 * time.Second

// Secure puts TLS on the connections between nodes. Each function returns the configuration for the next connection, and
// may be called concurrently. They are to take nobody but other nodes: whoever gets through may write the journal.
type Secure struct {
	Server func() *tls.Config // for a connection that another node has opened
	Client func() *tls.Config // for one that this node opens
}

// accepted returns the connection as the node that was called uses it. The handshake comes with the first Read or Write,
// which raft calls on a goroutine of the connection's own: one that says nothing holds up nobody.
func (s *Secure) accepted(c net.Conn) net.Conn {
	if s == nil {
		return c
	}
	return &handshaking{Conn: tls.Server(c, s.Server())}
}

// opened returns the connection as the node that called uses it, after the handshake.
func (s *Secure) opened(c net.Conn, timeout time.Duration) (net.Conn, error) {
	if s == nil {
		return c, nil
	}
	secured := tls.Client(c, s.Client())
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}

// handshaking is a connection whose handshake is still to come.
type handshaking struct {
	*tls.Conn
	once sync.Once
	err  error
}

func (c *handshaking) handshake() error {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		defer cancel()
		c.err = c.HandshakeContext(ctx)
	})
	return c.err
}

// Read implements net.Conn.
func (c *handshaking) Read(p []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *handshaking) Write(p []byte) (int, error) {
	if err := c.handshake(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
