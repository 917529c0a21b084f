// Package bounded keeps the connections of a process within what it can hold.
package bounded

import (
	"net"
	"sync"
	"sync/atomic"
)

// Listener accepts no more than a number of connections at a time: one more is closed as soon as it comes. So those who
// connect without end use up their own patience and not our file descriptors, of which the journal needs some too.
type Listener struct {
	net.Listener
	most     int64
	accepted func(net.Conn)
	open     atomic.Int64
}

// Listen bounds the connections of lis to most. accepted, if not nil, is called with each connection as the operating
// system gave it.
func Listen(lis net.Listener, most int, accepted func(net.Conn)) *Listener {
	return &Listener{Listener: lis, most: int64(most), accepted: accepted}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > l.most {
			l.open.Add(-1)
			c.Close()
			continue
		}
		if l.accepted != nil {
			l.accepted(c)
		}
		return &conn{Conn: c, of: l}, nil
	}
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	of   *Listener
	once sync.Once
}

// Close implements net.Conn.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.of.open.Add(-1) })
	return err
}
