package rpc

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"
)

var backoffConfig = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}

// The names of the metadata values.
const (
	requestIDKey = "request_id"
	senderKey    = "sender"
)

// maxID bounds what a caller may put into our logs, in bytes.
const maxID = 128

type idKey struct{}

// identity is who called, and by which id the call is known.
type identity struct{ requestID, sender string }

// WithRequestID returns a context under which calls bear the request id.
func WithRequestID(ctx context.Context, id string) context.Context {
	who, _ := ctx.Value(idKey{}).(identity)
	who.requestID = id
	return context.WithValue(ctx, idKey{}, who)
}

// RequestID returns the request id of the call that ctx belongs to, or "" outside of a call.
func RequestID(ctx context.Context) string {
	who, _ := ctx.Value(idKey{}).(identity)
	return who.requestID
}

// Sender returns who made the call that ctx belongs to, as the caller says; "" if it does not say.
func Sender(ctx context.Context) string {
	who, _ := ctx.Value(idKey{}).(identity)
	return who.sender
}

func withIncomingID(ctx context.Context) context.Context {
	who := identity{
		requestID: first(metadata.ValueFromIncomingContext(ctx, requestIDKey)),
		sender:    first(metadata.ValueFromIncomingContext(ctx, senderKey)),
	}
	if who.requestID == "" {
		who.requestID = NewRequestID()
	}
	return context.WithValue(ctx, idKey{}, who)
}

// first returns the value that a caller sent; "" if it sent none, or one that is long or not printable: it goes into logs
// and histories, and HTTP/2 lets any byte through.
func first(values []string) string {
	odd := func(c rune) bool { return c < ' ' || c > '~' }
	if len(values) == 0 || len(values[0]) > maxID || strings.ContainsFunc(values[0], odd) {
		return ""
	}
	return values[0]
}

func withOutgoingID(ctx context.Context, sender string) context.Context {
	id := RequestID(ctx)
	if id == "" {
		id = NewRequestID()
	}
	return metadata.AppendToOutgoingContext(ctx, requestIDKey, id, senderKey, sender)
}

func unaryServerID(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return next(withIncomingID(ctx), req)
}

func streamServerID(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(srv, idStream{stream, withIncomingID(stream.Context())})
}

// idStream is a server stream whose context knows the caller.
type idStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s idStream) Context() context.Context { return s.ctx }

func unaryClientID(sender string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return next(withOutgoingID(ctx, sender), method, req, reply, cc, opts...)
	}
}

func streamClientID(sender string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return next(withOutgoingID(ctx, sender), desc, cc, method, opts...)
	}
}
