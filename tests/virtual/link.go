package virtual

import (
	"io"
	"net"
	"sync"
	"time"
)

// pipeBytes is how much one direction of a connection holds before the writer waits.
const pipeBytes = 1 << 20

// link is one end of a connection. Each direction has a buffer, as in TCP: who writes to a frozen host waits only when
// that is full. (bufconn does it too, but begins each connection with a timer of no length; two of those at once crash
// the race detector of Go 1.26 in a bubble.)
type link struct {
	own, peer *Host
	other     *link
	in        *pipe // other writes to it
	once      sync.Once
	closed    chan struct{}
}

// connect returns the two ends of a new connection.
func connect(from, to *Host) (near, far *link) {
	near = &link{own: from, peer: to, in: newPipe(), closed: make(chan struct{})}
	far = &link{own: to, peer: from, in: newPipe(), closed: make(chan struct{})}
	near.other, far.other = far, near
	return near, far
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.in.read(p)
	if closed := l.thawed(); closed != nil {
		return n, closed
	}
	return n, err
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	if err := l.thawed(); err != nil {
		return 0, err
	}
	return l.other.in.write(p)
}

// thawed waits while the own host is frozen.
func (l *link) thawed() error {
	for {
		l.own.network.mu.Lock()
		thaw := l.own.thaw
		l.own.network.mu.Unlock()
		if thaw == nil {
			return nil
		}
		select {
		case <-thaw:
		case <-l.closed:
			return net.ErrClosed
		}
	}
}

// Close implements net.Conn. The other end may read what is under way, and then comes the end.
func (l *link) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.own.network.mu.Lock()
		delete(l.own.links, l)
		l.own.network.mu.Unlock()
		l.in.close(true)
		l.other.in.close(false)
	})
	return nil
}

// LocalAddr implements net.Conn.
func (l *link) LocalAddr() net.Addr { return address(l.own.Address) }

// RemoteAddr implements net.Conn.
func (l *link) RemoteAddr() net.Addr { return address(l.peer.Address) }

// SetDeadline implements net.Conn, and sets none: grpc-go uses it only beside a Close.
func (l *link) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn; see SetDeadline.
func (l *link) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn; see SetDeadline.
func (l *link) SetWriteDeadline(time.Time) error { return nil }

// pipe is one direction of a connection.
type pipe struct {
	mu     sync.Mutex
	change sync.Cond
	data   []byte
	ended  bool // nothing more comes
	gone   bool // nobody reads any more
}

func newPipe() *pipe {
	p := &pipe{}
	p.change.L = &p.mu
	return p
}

func (p *pipe) read(into []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 && !p.ended && !p.gone {
		p.change.Wait()
	}
	if p.gone {
		return 0, net.ErrClosed
	}
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(into, p.data)
	p.data = p.data[n:]
	p.change.Broadcast()
	return n, nil
}

func (p *pipe) write(from []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n < len(from) {
		for len(p.data) >= pipeBytes && !p.ended && !p.gone {
			p.change.Wait()
		}
		if p.ended || p.gone {
			return n, io.ErrClosedPipe
		}
		part := from[n:min(len(from), n+pipeBytes-len(p.data))]
		p.data = append(p.data, part...)
		n += len(part)
		p.change.Broadcast()
	}
	return n, nil
}

// close ends the direction, for its reader or for its writer.
func (p *pipe) close(reader bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.gone = p.gone || reader
	p.change.Broadcast()
}
