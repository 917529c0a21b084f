package dispatcher

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
)

// Config is what an operator may choose. The zero value of a field is not its default; start from DefaultConfig.
type Config struct {
	NameServices string         // host:port, or several with commas; a host may be a DNS name with many addresses
	Journal      journal.Config // its ID is the dispatcher's; Version and Service are filled in from here
	JoinAt       string         // with Journal.Join: host:port of a dispatcher of the cluster; "": the name services tell
	Service      func() string  // host:port at which clients reach this dispatcher, "" while it is not known

	Strategy       core.Strategy
	MaxAttempts    uint32        // of a task that does not say
	AttemptTimeout time.Duration // of a task that does not say
	MaxPayload     int           // bytes of a payload, and of a result
	RetryInitial   time.Duration // the pause before the first retry, half of it to one and a half, at random
	RetryMax       time.Duration // each further pause is twice as long, up to this

	BreakerFaults int           // faults of a worker in a row that open its breaker
	BreakerPause  time.Duration // how long it stays open before a probe
	AdoptGrace    time.Duration // how long a worker may take to come back to a dispatcher that has restarted

	MaxLive      int           // tasks that are not terminal
	MaxLiveBytes int64         // their payloads
	KeepCount    int           // terminal tasks that are kept
	KeepAge      time.Duration // for how long
	KeepBytes    int64         // their texts
	KeepEvents   int           // events that are kept
	MaxStreams   int           // calls that stay open: WatchEvents, WaitTasks and RunTasks

	Version    string
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// DialOptions are for the connection on which this dispatcher asks to be let into a cluster.
	DialOptions []grpc.DialOption

	// Dial and Resolve replace the network, for tests: how a worker or a name service is reached, and which addresses
	// stand behind NameServices.
	Dial    func(role rpc.Role, address string) (*grpc.ClientConn, error)
	Resolve discovery.Lookup
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		NameServices:   "127.0.0.1:50051",
		Strategy:       core.LeastLoaded,
		MaxAttempts:    4,
		AttemptTimeout: time.Minute,
		MaxPayload:     64 << 10,
		RetryInitial:   100 * time.Millisecond,
		RetryMax:       10 * time.Second,
		BreakerFaults:  3,
		BreakerPause:   5 * time.Second,
		AdoptGrace:     10 * time.Second,
		MaxLive:        2_000_000,
		MaxLiveBytes:   2 << 30,
		KeepCount:      200_000,
		KeepAge:        24 * time.Hour,
		KeepBytes:      512 << 20,
		KeepEvents:     100_000,
		MaxStreams:     20_000,
		Version:        "dev",
		Logger:         slog.New(slog.DiscardHandler),
		Dial: func(role rpc.Role, address string) (*grpc.ClientConn, error) {
			return rpc.Dial(address, "dispatcher", rpc.To(role))
		},
		Resolve: net.DefaultResolver.LookupHost,
	}
}

// Check returns an error that names the field, its value and the rule, if one is broken.
func (c *Config) Check() error {
	for _, rule := range []struct {
		field string
		value any
		ok    bool
		rule  string
	}{
		{"max-attempts", c.MaxAttempts, c.MaxAttempts >= 1 && c.MaxAttempts <= core.MaxMaxAttempts, fmt.Sprintf("must be 1 to %d", core.MaxMaxAttempts)},
		{"attempt-timeout", c.AttemptTimeout, c.AttemptTimeout >= core.MinTimeout && c.AttemptTimeout <= core.MaxAttemptTimeout, fmt.Sprintf("must be %v to %v", core.MinTimeout, core.MaxAttemptTimeout)},
		{"max-payload", c.MaxPayload, c.MaxPayload >= 1 && c.MaxPayload <= rpc.MaxMessage/4, fmt.Sprintf("must be 1 to %d bytes", rpc.MaxMessage/4)},
		{"retry-initial", c.RetryInitial, c.RetryInitial > 0, "must be more than 0"},
		{"retry-max", c.RetryMax, c.RetryMax >= c.RetryInitial, "must be at least retry-initial"},
		{"breaker-faults", c.BreakerFaults, c.BreakerFaults >= 1, "must be at least 1"},
		{"breaker-pause", c.BreakerPause, c.BreakerPause > 0, "must be more than 0"},
		{"adopt-grace", c.AdoptGrace, c.AdoptGrace > 0, "must be more than 0"},
		{"max-queued", c.MaxLive, c.MaxLive >= 1, "must be at least 1"},
		{"max-queued-bytes", c.MaxLiveBytes, c.MaxLiveBytes >= int64(c.MaxPayload), "must be at least max-payload"},
		{"keep-count", c.KeepCount, c.KeepCount >= 0, "must not be negative"},
		{"keep-age", c.KeepAge, c.KeepAge >= 0, "must not be negative"},
		{"keep-bytes", c.KeepBytes, c.KeepBytes >= 0, "must not be negative"},
		{"keep-events", c.KeepEvents, c.KeepEvents >= 1, "must be at least 1"},
		{"max-streams", c.MaxStreams, c.MaxStreams >= 1, "must be at least 1"},
	} {
		if !rule.ok {
			return fmt.Errorf("%s: %v: %s", rule.field, rule.value, rule.rule)
		}
	}
	return c.Journal.Check()
}

// core returns what of it the scheduler wants.
func (c *Config) core() core.Config {
	return core.Config{
		Strategy:    c.Strategy,
		AdoptGrace:  c.AdoptGrace,
		MaxFinished: c.KeepCount,
		MaxAge:      c.KeepAge,
		MaxBytes:    c.KeepBytes,
		MaxTypes:    maxTypes,
		Backoff:     c.pause,
		NewBreaker:  c.newBreaker,
		Rand:        rand.IntN,
	}
}

// maxTypes bounds how many types workers may make known: each has counts and a histogram of 2 KiB.
const maxTypes = 4096

// pause returns the time before the n-th retry of a task.
func (c *Config) pause(n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(c.RetryInitial), backoff.WithMaxInterval(c.RetryMax), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for ; n > 1 && d < c.RetryMax; n-- {
		d = b.NextBackOff()
	}
	return d
}

func (c *Config) defaults() core.Defaults {
	return core.Defaults{MaxAttempts: c.MaxAttempts, AttemptTimeout: c.AttemptTimeout, MaxPayload: c.MaxPayload}
}
