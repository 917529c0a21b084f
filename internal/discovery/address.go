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

// Own is a process's own address, which may change: a container that was cut off from its network may come back under
// another one. Its methods may be called concurrently.
type Own struct {
	ask func() (string, error)

	mu    sync.Mutex
	known string
	asked time.Time
}

// NewOwn returns what remembers the answers of ask, such as those of OwnAddress.
func NewOwn(ask func() (string, error)) *Own { return &Own{ask: ask} }

// Ask finds the address out.
func (o *Own) Ask() (string, error) {
	address, err := o.ask()
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.known = address
	}
	return address, err
}

// Known returns the last answer to Ask. While there is none it asks, but not more often than each second, and returns ""
// if that fails.
func (o *Own) Known() string {
	o.mu.Lock()
	known, ask := o.known, o.known == "" && time.Since(o.asked) > time.Second
	if ask {
		o.asked = time.Now()
	}
	o.mu.Unlock()
	if ask {
		known, _ = o.Ask()
	}
	return known
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
