package discovery

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// OwnAddress returns the address under which this process is reached by others: the one of --advertise; or the address
// it listens on; or, if it listens on all, the local address of the route to the name services. It never is a name that
// stands for several instances, such as that of a compose service. While no name service's name can be resolved it
// tries again, each second, until ctx ends: then it returns "".
func OwnAddress(ctx context.Context, advertise string, listening net.Addr, nameServices string) (string, error) {
	if advertise != "" {
		host, port, err := net.SplitHostPort(advertise)
		if ip := net.ParseIP(host); err != nil || host == "" || port == "" || ip != nil && ip.IsUnspecified() {
			return "", fmt.Errorf("advertise: %q: must be host:port that others can dial", advertise)
		}
		return advertise, nil
	}
	tcp, ok := listening.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("own address: %s is not a TCP address: --advertise must say it", listening)
	}
	for ip := tcp.IP; ; {
		if ip.IsUnspecified() {
			ip = routeTo(nameServices)
		}
		if ip != nil {
			return net.JoinHostPort(ip.String(), strconv.Itoa(tcp.Port)), nil
		}
		select {
		case <-ctx.Done():
			return "", nil
		case <-time.After(time.Second):
			ip = tcp.IP
		}
	}
}

// routeTo returns the local address of the route to the name services; nil if there is none to any. There is one answer
// for all of them, because a process has one address: of several, the first that other machines can reach.
func routeTo(nameServices string) (found net.IP) {
	for target := range strings.SplitSeq(nameServices, ",") {
		// Connecting a UDP socket chooses a route and sends nothing.
		conn, err := net.Dial("udp", strings.TrimSpace(target))
		if err != nil {
			continue
		}
		ip := conn.LocalAddr().(*net.UDPAddr).IP
		conn.Close()
		if !ip.IsLoopback() {
			return ip
		}
		if found == nil {
			found = ip
		}
	}
	return found
}
