package workers

import (
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Config says what a worker is. All fields are required where no default is named.
type Config struct {
	ID       string             // unique in the grid; see NewID
	Handlers map[string]Handler // by type; see Select
	Capacity int                // attempts that run at the same time
	Window   int                // attempts that wait beyond those
	Labels   map[string]string  // free words about it; default none
	Version  string             // of the program; default none

	Listener     net.Listener // already listening; Run closes it
	Advertise    string       // host:port; default: found by the route to the name services
	NameServices []string     // host:port each; a name stands for all its addresses

	DrainGrace time.Duration // how long running attempts may go on after Run's context has ended
	MaxResult  int           // bytes

	Log         *slog.Logger
	Metrics     prometheus.Registerer
	DialOptions []grpc.DialOption // for the connections to name services; default none

	ServerOptions []grpc.ServerOption // for the WorkerService; default none
}

// Bounds of what may be asked for.
const (
	maxCapacity  = 10_000 // as in RegisterWorkerRequest
	maxWindow    = 10_000
	maxMaxResult = 8 << 20 // half of what a message may have, so that any result can be sent
	maxGrace     = time.Hour
	maxLabels    = 16 // as in RegisterWorkerRequest, like the lengths below
	maxLabelKey  = 63
	maxText      = 255
)

var idRule = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)

// Validate checks what a person chose. The error names the flag, the value and the rule.
func (c *Config) Validate() error {
	switch {
	case !idRule.MatchString(c.ID):
		return fmt.Errorf("id: %q: must be 1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'", c.ID)
	case c.Capacity < 1 || c.Capacity > maxCapacity:
		return fmt.Errorf("capacity: %d: must be 1 to %d", c.Capacity, maxCapacity)
	case c.Window < 0 || c.Window > maxWindow:
		return fmt.Errorf("window: %d: must be 0 to %d", c.Window, maxWindow)
	case c.MaxResult < 1 || c.MaxResult > maxMaxResult:
		return fmt.Errorf("max-payload: %d: must be 1 to %d bytes", c.MaxResult, maxMaxResult)
	case c.DrainGrace < 0 || c.DrainGrace > maxGrace:
		return fmt.Errorf("drain-grace: %s: must be 0s to %s", c.DrainGrace, maxGrace)
	case len(c.Labels) > maxLabels:
		return fmt.Errorf("labels: %d pairs: must be at most %d", len(c.Labels), maxLabels)
	}
	for key, value := range c.Labels {
		if key == "" || len(key) > maxLabelKey || len(value) > maxText {
			return fmt.Errorf("labels: %q=%q: a key must have 1 to %d bytes, a value at most %d", key, value, maxLabelKey, maxText)
		}
	}
	if c.Advertise == "" {
		return nil
	}
	if host, port, err := net.SplitHostPort(c.Advertise); err != nil || host == "" || port == "" || len(c.Advertise) > maxText {
		return fmt.Errorf("advertise: %q: must be host:port of at most %d bytes", c.Advertise, maxText)
	}
	return nil
}
