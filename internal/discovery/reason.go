package discovery

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reason says in few words why a call failed: "connection refused" instead of the chain that grpc-go or net/http makes
// of it.
func Reason(err error) string {
	s, ok := status.FromError(err)
	text := s.Message()
	if _, why, found := strings.Cut(text, "authentication handshake failed: "); found {
		return "no connection by TLS: " + strings.TrimRight(why, `"`)
	}
	if _, why, found := strings.Cut(text, "latest balancer error: "); found { // it waited for a connection
		return Reason(status.Error(codes.Unavailable, why))
	}
	if s.Code() == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if !ok {
		text = err.Error()
	}
	for _, chain := range []string{"Error while dialing: ", "name resolver error: "} {
		if _, after, found := strings.Cut(text, chain); found {
			text = strings.TrimRight(after, `"`)
		}
	}
	switch {
	case strings.Contains(text, "looked like an HTTP/1.1 header"):
		return "it speaks HTTP, not gRPC"
	case strings.Contains(text, "error reading server preface"):
		return "it takes connections and does not answer: it may want TLS, or something else may listen there"
	}
	// "dial tcp 127.0.0.1:50051: connect: connection refused": the caller has said the address.
	if i := strings.LastIndex(text, "connect: "); i >= 0 && strings.Contains(text, "dial tcp ") {
		text = text[i+len("connect: "):]
	}
	return text
}
