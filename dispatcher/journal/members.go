package journal

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds on what names a member.
const (
	maxMembers  = 32 // of a cluster; more would only make it slower
	maxIDLength = 64
)

// Bounds on the election timeout: raft takes no less than 5 ms, and a cluster without a leader for minutes is of no use.
const (
	minTimeout = 5 * time.Millisecond
	maxTimeout = time.Minute
)

// SetupError says that the configuration does not fit the data directory. It names what differs and what to do.
type SetupError struct{ error }

func setupError(format string, args ...any) error { return SetupError{fmt.Errorf(format, args...)} }

// Peer is a member of the cluster as its configuration names it.
type Peer struct {
	ID      string // unique in the cluster, for ever the same
	Address string // host:port of its raft port, as the others reach it
}

// ParsePeers reads a list like d1=host:port,d2=host:port. What the list says is judged by Config.Check.
func ParsePeers(list string) ([]Peer, error) {
	if list == "" {
		return nil, nil
	}
	var peers []Peer
	for item := range strings.SplitSeq(list, ",") {
		id, address, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return nil, fmt.Errorf("peers: %q: must be id=host:port, separated by commas", item)
		}
		peers = append(peers, Peer{ID: strings.TrimSpace(id), Address: strings.TrimSpace(address)})
	}
	return peers, nil
}

// FormatPeers writes what ParsePeers reads.
func FormatPeers(peers []Peer) string {
	items := make([]string, len(peers))
	for i, p := range peers {
		items[i] = p.ID + "=" + p.Address
	}
	return strings.Join(items, ",")
}

// CheckID returns an error unless id can be the name of a member.
func CheckID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if id == "" || len(id) > maxIDLength || strings.Trim(id, allowed) != "" {
		return fmt.Errorf("id: %.80q: must be 1 to %d characters of a-z, A-Z, 0-9, '-', '_' and '.'", id, maxIDLength)
	}
	return nil
}

// CheckAddress returns an error unless the other members can dial the address, which field is the name of.
func CheckAddress(field, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%s: %.100q: must be host:port, as the other members reach it", field, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%s: %.100q: must have a port of 1 to 65535", field, address)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return fmt.Errorf("%s: %.100q: must name a host that the other members can dial, not the unspecified address", field, address)
	}
	return nil
}

// Check returns an error that names the field, its value and the rule, if one is broken. A configuration without id or
// directory is half a one: so is one that cannot say how the members reach each other.
func (c *Config) Check() error {
	if err := CheckID(c.ID); err != nil {
		return err
	}
	if c.Directory == "" && c.Stores == nil {
		return fmt.Errorf("data: %q: must be a directory", c.Directory)
	}
	if c.RaftAddress != "" {
		if err := CheckAddress("raft-address", c.RaftAddress); err != nil {
			return err
		}
	}
	if c.RaftListen != "" {
		if _, port, err := net.SplitHostPort(c.RaftListen); err != nil || port == "" {
			return fmt.Errorf("raft-listen: %q: must be host:port or :port", c.RaftListen)
		}
	}
	if c.ElectionTimeout < 0 || c.ElectionTimeout > 0 && c.ElectionTimeout < minTimeout || c.ElectionTimeout > maxTimeout {
		return fmt.Errorf("election-timeout: %v: must be %v to %v, or 0", c.ElectionTimeout, minTimeout, maxTimeout)
	}
	if c.Join && len(c.Peers) > 0 {
		return fmt.Errorf("join: cannot be together with --peers %s: --peers begins a cluster, --join enters one that runs", FormatPeers(c.Peers))
	}
	if c.Join && c.reached() == "" {
		return fmt.Errorf("raft-address: %q: is required with --join: the members must be able to reach this one", c.RaftAddress)
	}
	if c.RaftListen != "" && c.reached() == "" {
		return fmt.Errorf("raft-address: %q: is required with --raft-listen: it is what the other members are told", c.RaftAddress)
	}
	return c.checkPeers()
}

// reached returns where the other members reach this one; "" when they cannot.
func (c *Config) reached() string {
	if c.Transport != nil {
		return string(c.Transport.LocalAddr())
	}
	if c.RaftAddress == "" {
		for _, p := range c.Peers {
			if p.ID == c.ID {
				return p.Address
			}
		}
	}
	return c.RaftAddress
}

// checkPeers refuses a cluster in which this node is missing or called otherwise, or two nodes are one.
func (c *Config) checkPeers() error {
	if len(c.Peers) == 0 {
		return nil
	}
	refuse := func(rule string, args ...any) error {
		return fmt.Errorf("peers: %s: "+rule, append([]any{FormatPeers(c.Peers)}, args...)...)
	}
	if len(c.Peers) > maxMembers {
		return refuse("%d members: must be at most %d", len(c.Peers), maxMembers)
	}
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, p := range c.Peers {
		if err := CheckID(p.ID); err != nil {
			return refuse("%w", err)
		}
		if ids[p.ID] {
			return refuse("id %q is named twice", p.ID)
		}
		if addresses[p.Address] {
			return refuse("address %s is named twice", p.Address)
		}
		if c.Transport == nil {
			if err := CheckAddress(p.ID, p.Address); err != nil {
				return refuse("%w", err)
			}
		}
		if p.ID == c.ID && c.RaftAddress != "" && p.Address != c.RaftAddress {
			return refuse("says that this node, %q, is at %s, but --raft-address is %s", c.ID, p.Address, c.RaftAddress)
		}
		ids[p.ID], addresses[p.Address] = true, true
	}
	if !ids[c.ID] {
		return refuse("does not include this node, --id %s", c.ID)
	}
	return nil
}

// defaultListen returns where to wait for the others: on the very address when it is an IP address, and otherwise on all,
// because a name may stand for an address that is not this machine's own, or is not known yet.
func defaultListen(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil || host == "localhost" {
		return address
	}
	return ":" + port
}
