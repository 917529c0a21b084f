package nameservice

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The bounds of what a worker may say of itself. Lengths are in bytes.
const (
	maxID         = 64
	maxType       = 32
	maxTypes      = 64
	maxAddress    = 255
	maxCapacity   = 10_000
	maxLabels     = 16
	maxLabelKey   = 63
	maxLabelValue = 255
	maxVersion    = 64
	minLease      = 8
	maxLease      = 64
)

// ErrInvalid is what an argument that breaks a rule is answered with; the message names field, value and rule.
var ErrInvalid = errors.New("invalid argument")

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"

	typeCharacters  = lower + digits + "-_"
	leaseCharacters = lower + digits
	idCharacters    = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + digits + "-_."
)

// Registration is what a worker says of itself when it registers. The registry keeps it and hands it out to readers:
// nobody may change it afterwards.
type Registration struct {
	ID       string   // unique in the grid
	Types    []string // what it can do
	Address  string   // host:port of its WorkerService
	Capacity uint32   // tasks at the same time
	Labels   map[string]string
	Version  string // of its program
}

// Validate returns an ErrInvalid for the first rule that is broken.
func (r *Registration) Validate() error {
	if err := checkName("worker_id", r.ID, maxID, idCharacters); err != nil {
		return err
	}
	if n := len(r.Types); n < 1 || n > maxTypes {
		return invalid("types", n, "must be 1 to %d", maxTypes)
	}
	for i, t := range r.Types {
		if err := checkName(fmt.Sprintf("types[%d]", i), t, maxType, typeCharacters); err != nil {
			return err
		}
	}
	if err := checkAddress("address", r.Address); err != nil {
		return err
	}
	if r.Capacity < 1 || r.Capacity > maxCapacity {
		return invalid("capacity", r.Capacity, "must be 1 to %d", maxCapacity)
	}
	if err := checkLabels(r.Labels); err != nil {
		return err
	}
	if len(r.Version) > maxVersion {
		return invalid("version", shorten(r.Version), "must be at most %d bytes", maxVersion)
	}
	return nil
}

// says reports whether both describe the worker in the same way.
func (r *Registration) says(other *Registration) bool {
	return r.ID == other.ID && r.Address == other.Address && r.Capacity == other.Capacity && r.Version == other.Version &&
		slices.Equal(r.Types, other.Types) && maps.Equal(r.Labels, other.Labels)
}

// size is an upper bound, in bytes, of the entry in an encoded answer.
func (r *Registration) size() int {
	const fixed = 128 // numbers, times, and the tags and lengths of all fields
	n := fixed + len(r.ID) + len(r.Address) + len(r.Version) + maxLease
	for _, t := range r.Types {
		n += len(t) + 2
	}
	for k, v := range r.Labels {
		n += len(k) + len(v) + 9
	}
	return n
}

func invalid(field string, value any, rule string, args ...any) error {
	return fmt.Errorf("%w: %s: %v: "+rule, append([]any{ErrInvalid, field, value}, args...)...)
}

// required returns an ErrInvalid if the value is absent.
func required(field, value string) error {
	if value == "" {
		return invalid(field, `""`, "is required")
	}
	return nil
}

// checkName returns an ErrInvalid unless value has 1 to most bytes, all of them among the allowed characters.
func checkName(field, value string, most int, allowed string) error {
	return checkWord(field, value, 1, most, allowed)
}

func checkLease(value string) error {
	return checkWord("lease_id", value, minLease, maxLease, leaseCharacters)
}

func checkWord(field, value string, least, most int, allowed string) error {
	if len(value) >= least && len(value) <= most && strings.Trim(value, allowed) == "" {
		return nil
	}
	return invalid(field, shorten(value), "must be %d to %d characters of %s", least, most, describe(allowed))
}

// describe names a set of characters as a person would.
func describe(characters string) string {
	words := strings.NewReplacer(lower, "a-z, ", strings.ToUpper(lower), "A-Z, ", digits, "0-9, ").Replace(characters)
	return strings.TrimSuffix(words, ", ")
}

// checkAddress returns an ErrInvalid unless value is a host:port that another machine can dial.
func checkAddress(field, value string) error {
	if len(value) > maxAddress {
		return invalid(field, shorten(value), "must be at most %d bytes", maxAddress)
	}
	host, port, err := splitHostPort(value)
	if err != nil {
		return invalid(field, shorten(value), "must be host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return invalid(field, shorten(value), "must have a port of 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return invalid(field, shorten(value), "must name a host that can be dialled, not the unspecified address")
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid("labels", len(labels), "must be at most %d", maxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if len(k) < 1 || len(k) > maxLabelKey {
			return invalid("labels", shorten(k), "keys must be 1 to %d bytes", maxLabelKey)
		}
		if len(labels[k]) > maxLabelValue {
			return invalid("labels["+k+"]", shorten(labels[k]), "must be at most %d bytes", maxLabelValue)
		}
	}
	return nil
}

// checkLoad returns an ErrInvalid unless load is a number from 0.
func checkLoad(load float32) error {
	if l := float64(load); math.IsNaN(l) || math.IsInf(l, 0) || l < 0 {
		return invalid("load", load, "must be a number from 0")
	}
	return nil
}

// shorten quotes a value for an error message, whatever its length.
func shorten(value string) string {
	const most = 80
	if len(value) > most {
		return strconv.Quote(value[:most]) + "…"
	}
	return strconv.Quote(value)
}

// splitHostPort splits host:port as net.SplitHostPort does, and asks that neither be empty.
func splitHostPort(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err == nil && (host == "" || strings.ContainsAny(host, " \t\r\n/@")) {
		err = errors.New("not a host")
	}
	return host, port, err
}
