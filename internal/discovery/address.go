package discovery

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// OwnAddress returns the address under which this process is reached from the name services: the one of --advertise, or
// the address it listens on, or, if it listens on all, the local address of the route to them. It never is a name that
// stands for several instances, such as that of a compose service.
func OwnAddress(advertise string, listening net.Addr, nameServices []string) (string, error) {
	if advertise != "" {
		return advertise, nil
	}
	tcp, ok := listening.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("own address: %s is not a TCP address: --advertise must say it", listening)
	}
	ip := tcp.IP
	if ip.IsUnspecified() {
		var err error
		if ip, err = localIP(nameServices); err != nil {
			return "", fmt.Errorf("own address: %w", err)
		}
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(tcp.Port)), nil
}

// Once returns a function that says the address when it is known, and "" before: it asks until it gets an answer, and
// not more often than each second.
func Once(address func() (string, error)) func() string {
	var mu sync.Mutex
	var known string
	var asked time.Time
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		if known == "" && time.Since(asked) > time.Second {
			asked = time.Now()
			known, _ = address()
		}
		return known
	}
}

// localIP returns the local address of the route to the name services. There is one answer for all of them, because a
// worker has one address: of several, the first that other machines can reach.
func localIP(nameServices []string) (found net.IP, err error) {
	for _, target := range nameServices {
		// Connecting a UDP socket chooses a route and sends nothing.
		conn, dialErr := net.Dial("udp", target)
		if dialErr != nil {
			err = dialErr
			continue
		}
		ip := conn.LocalAddr().(*net.UDPAddr).IP
		conn.Close()
		if !ip.IsLoopback() {
			return ip, nil
		}
		if found == nil {
			found = ip
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no route to a name service: %w", err)
	}
	return found, nil
}
