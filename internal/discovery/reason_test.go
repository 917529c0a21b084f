package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
)

func TestReasonsAreFewWords(t *testing.T) {
	unavailable := func(text string) error { return status.Error(codes.Unavailable, text) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{unavailable(`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:50051: connect: connection refused"`), "connection refused"},
		{unavailable(`name resolver error: produced zero addresses`), "produced zero addresses"},
		{unavailable(`connection error: desc = "error reading server preface: http2: failed reading the frame payload: http2: frame too large, note that the frame header looked like an HTTP/1.1 header"`), "it speaks HTTP, not gRPC"},
		{unavailable(`connection error: desc = "error reading server preface: raw-read tcp 127.0.0.1:41892->127.0.0.1:45052: use of closed network connection"`), "it takes connections and does not answer: it may want TLS, or something else may listen there"},
		{unavailable(`connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`), "no connection by TLS: tls: first record does not look like a TLS handshake"},
		{errors.New(`Get "http://127.0.0.1:8080/readyz": dial tcp 127.0.0.1:8080: connect: connection refused`), "connection refused"},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), "no answer in time"},
		{status.Error(codes.DeadlineExceeded, `latest balancer error: connection error: desc = "error reading server preface: EOF"`), "it takes connections and does not answer: it may want TLS, or something else may listen there"},
		{fmt.Errorf("get: %w", context.DeadlineExceeded), "no answer in time"},
		{errors.New("/readyz answers 503 Service Unavailable"), "/readyz answers 503 Service Unavailable"},
	} {
		if got := discovery.Reason(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}
