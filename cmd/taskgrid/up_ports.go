package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// portStep is how far a port moves when it is taken: the four of one grid stay together, and a second grid gets
// numbers that one recognises.
const portStep = 100

// choosePorts replaces each port that is taken by one that is free, and says so on w. Between this look and the moment
// the child listens somebody else can take the port; the child then says so and is started again.
func (p *plan) choosePorts(w io.Writer) error {
	chosen := map[int]bool{}
	for _, want := range []struct {
		flag string
		port *int
	}{
		{"nameservice-port", &p.nameservice},
		{"dispatcher-port", &p.dispatcher},
		{"monitoring-port", &p.monitoring},
		{"http-port", &p.http},
	} {
		port, err := freePort(p.bind, *want.port, chosen)
		if err != nil {
			return fmt.Errorf("%s: %d: %w", want.flag, *want.port, err)
		}
		if *want.port != 0 && port != *want.port {
			fmt.Fprintf(w, "up: port %d is taken: --%s is %d this time\n", *want.port, want.flag, port)
		}
		chosen[port] = true
		*want.port = port
	}
	return nil
}

// freePort returns port if it is free, or the next one that is, in steps of portStep; for 0 any free one.
func freePort(bind string, port int, chosen map[int]bool) (int, error) {
	for at := port; at <= 65535; at += portStep {
		if chosen[at] {
			continue
		}
		lis, err := net.Listen("tcp", net.JoinHostPort(bind, strconv.Itoa(at)))
		if err != nil {
			if isAddressMissing(bind) {
				return 0, err
			}
			continue
		}
		got := lis.Addr().(*net.TCPAddr).Port
		lis.Close()
		switch {
		case chosen[got]: // port is 0, and the system gave the same again
			at -= portStep
		case !answers(bind, got):
			return got, nil
		}
	}
	return 0, errors.New("this port and those above it, in steps of 100, are all taken")
}

// answers reports whether something accepts connections at the port. Where one may listen at 127.0.0.1:8080 although
// another program holds *:8080 (macOS, Windows), only a call shows it.
func answers(bind string, port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(hostOf(bind), strconv.Itoa(port)), 100*time.Millisecond)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// isAddressMissing reports whether no port at all can be had at bind: it is not an address of this machine.
func isAddressMissing(bind string) bool {
	lis, err := net.Listen("tcp", net.JoinHostPort(bind, "0"))
	if err != nil {
		return true
	}
	lis.Close()
	return false
}
