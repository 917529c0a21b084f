package nameservice_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"taskgrid/nameservice"
)

func TestBadRegistrationIsRefusedNamingFieldValueAndRule(t *testing.T) {
	long := strings.Repeat("x", 300)
	many := func(n int, word string) (words []string) {
		for i := range n {
			words = append(words, fmt.Sprint(word, i))
		}
		return words
	}
	for _, c := range []struct {
		name string
		with func(a *nameservice.Application)
		want string
	}{
		{"no id", func(a *nameservice.Application) { a.Registration.ID = "" },
			`worker_id: "": must be 1 to 64 characters of a-z, A-Z, 0-9, -_.`},
		{"id with a blank", func(a *nameservice.Application) { a.Registration.ID = "a b" }, `worker_id: "a b": must be`},
		{"long id", func(a *nameservice.Application) { a.Registration.ID = long }, `worker_id: "xxx`},
		{"no types", func(a *nameservice.Application) { a.Registration.Types = nil }, `types: 0: must be 1 to 64`},
		{"many types", func(a *nameservice.Application) { a.Registration.Types = many(65, "t") }, `types: 65: must be 1 to 64`},
		{"bad type", func(a *nameservice.Application) { a.Registration.Types = []string{"sum", "Hash"} },
			`types[1]: "Hash": must be 1 to 32 characters of a-z, 0-9, -_`},
		{"no address", func(a *nameservice.Application) { a.Registration.Address = "" }, `address: "": must be host:port`},
		{"no port", func(a *nameservice.Application) { a.Registration.Address = "10.0.0.1" }, `address: "10.0.0.1": must be host:port`},
		{"no host", func(a *nameservice.Application) { a.Registration.Address = ":50060" }, `address: ":50060": must be host:port`},
		{"blank in host", func(a *nameservice.Application) { a.Registration.Address = "a b:1" }, `address: "a b:1": must be host:port`},
		{"port 0", func(a *nameservice.Application) { a.Registration.Address = "h:0" }, `address: "h:0": must have a port of 1 to 65535`},
		{"port 65536", func(a *nameservice.Application) { a.Registration.Address = "h:65536" }, `must have a port of 1 to 65535`},
		{"named port", func(a *nameservice.Application) { a.Registration.Address = "h:http" }, `must have a port of 1 to 65535`},
		{"unspecified IPv4", func(a *nameservice.Application) { a.Registration.Address = "0.0.0.0:1" }, `must name a host that can be dialled`},
		{"unspecified IPv6", func(a *nameservice.Application) { a.Registration.Address = "[::]:1" }, `must name a host that can be dialled`},
		{"unspecified in IPv6", func(a *nameservice.Application) { a.Registration.Address = "[::ffff:0.0.0.0]:1" }, `must name a host that can be dialled`},
		{"long address", func(a *nameservice.Application) { a.Registration.Address = long + ":1" }, `must be at most 255 bytes`},
		{"capacity 0", func(a *nameservice.Application) { a.Registration.Capacity = 0 }, `capacity: 0: must be 1 to 10000`},
		{"capacity 10001", func(a *nameservice.Application) { a.Registration.Capacity = 10_001 }, `capacity: 10001: must be 1 to 10000`},
		{"many labels", func(a *nameservice.Application) {
			a.Registration.Labels = map[string]string{}
			for _, k := range many(17, "k") {
				a.Registration.Labels[k] = ""
			}
		}, `labels: 17: must be at most 16`},
		{"empty key", func(a *nameservice.Application) { a.Registration.Labels = map[string]string{"": "v"} }, `labels: "": keys must be 1 to 63 bytes`},
		{"long key", func(a *nameservice.Application) { a.Registration.Labels = map[string]string{long: "v"} }, `keys must be 1 to 63 bytes`},
		{"long value", func(a *nameservice.Application) { a.Registration.Labels = map[string]string{"k": long} }, `labels[k]: "xxx`},
		{"long version", func(a *nameservice.Application) { a.Registration.Version = long }, `must be at most 64 bytes`},
		{"short lease", func(a *nameservice.Application) { a.Lease = "short" }, `lease_id: "short": must be 8 to 64 characters of a-z, 0-9`},
		{"bad lease", func(a *nameservice.Application) { a.Lease = "UPPERCASE" }, `lease_id: "UPPERCASE": must be`},
		{"long lease", func(a *nameservice.Application) { a.Lease = long }, `lease_id: "xxx`},
	} {
		a := nameservice.Application{Registration: describe("a", "hash"), FreshLease: "freshlease"}
		c.with(&a)
		r := newRegistry()
		_, err := r.Register(at(0), a)
		if !errors.Is(err, nameservice.ErrInvalid) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 250 {
			t.Errorf("%s: got %v, want ErrInvalid with %s", c.name, err, c.want)
		}
		if got := len(r.Lookup(at(0), "", true)); got != 0 {
			t.Errorf("%s: got %d workers, want none", c.name, got)
		}
	}
}

func TestGoodRegistrationsAreAccepted(t *testing.T) {
	for _, address := range []string{"10.0.0.1:1", "[fe80::1%eth0]:65535", "[::1]:50060", "worker-hash_1.grid:50060"} {
		reg := describe("Worker-1.a_b", "wait-2_x")
		reg.Address = address
		reg.Capacity = 10_000
		reg.Labels = map[string]string{strings.Repeat("k", 63): strings.Repeat("v", 255)}
		reg.Version = strings.Repeat("v", 64)
		if err := reg.Validate(); err != nil {
			t.Errorf("worker at %s: %v", address, err)
		}
	}
}
