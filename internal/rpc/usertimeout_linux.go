package rpc

import (
	"net"

	"golang.org/x/sys/unix"
)

// setUserTimeout ends a connection whose data is not acknowledged for probeTimeout, as grpc-go does when it knows the
// connection for one of TCP.
func setUserTimeout(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// An error here shows at the first use of the connection.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(probeTimeout.Milliseconds()))
	})
}
