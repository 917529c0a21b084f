package discovery

import (
	"context"
	"net"
	"slices"
	"strings"
)

// Lookup finds the addresses of a host, as net.Resolver.LookupHost does.
type Lookup func(ctx context.Context, host string) ([]string, error)

// Resolve returns the addresses that a list of host:port stands for, sorted and without repetition, at most 64. A host
// may be a name with many addresses; all of them are meant. One that cannot be resolved at the moment, or not within a
// second, stands for itself: the connection to it says what is wrong and heals by itself, and the others are not held up.
func Resolve(ctx context.Context, list []string, lookup Lookup) []string {
	var addresses []string
	for _, entry := range list {
		addresses = append(addresses, resolveOne(ctx, strings.TrimSpace(entry), lookup)...)
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	return addresses[:min(len(addresses), maxNameServices)]
}

func resolveOne(ctx context.Context, entry string, lookup Lookup) []string {
	host, port, err := net.SplitHostPort(entry)
	if err != nil || net.ParseIP(host) != nil || host == "localhost" {
		return []string{entry} // localhost has two addresses on many machines, but means one service
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ips, err := lookup(bounded, host)
	if err != nil || len(ips) == 0 {
		return []string{entry}
	}
	addresses := make([]string, 0, len(ips))
	for _, ip := range ips {
		addresses = append(addresses, net.JoinHostPort(ip, port))
	}
	return addresses
}
