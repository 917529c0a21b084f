// Package rpc is what every gRPC server and client of the grid does the same way: limits, keepalive, reflection,
// health, and the two metadata values that follow a task through all processes, request_id and sender.
//
// A server takes request_id from the caller, or makes one, and keeps it in the handler's context. A client sends the
// request_id of its context, or makes one. So the id that the client chose is found in the worker's log.
package rpc

import (
	"crypto/rand"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
)

const (
	// MaxMessage bounds a gRPC message in bytes, both ways. It holds 250 tasks with the longest payload.
	MaxMessage = 16 << 20

	// maxStreams bounds the calls that one connection may have open; it leaves room for 10,000 watchers.
	maxStreams = 16384

	// A sender may be so many bytes ahead of its receiver, on one call and on a connection. That they are fixed spares the
	// pings with which grpc-go otherwise measures the line after each message: with small messages these are half of all
	// packets. With 1 ms from end to end a call carries 250 MB/s.
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20

	// maxHeader bounds the metadata of a call in bytes; a token and a trace fit many times over.
	maxHeader = 64 << 10

	// connectTimeout is how long a connection may take until it has said that it speaks HTTP/2.
	connectTimeout = 5 * time.Second

	// streamWorkers goroutines serve calls, one after the other, so that their stacks are as large as a call needs; a
	// fresh goroutine grows its stack anew, which is a tenth of what a short call costs. More calls at the same time get
	// goroutines of their own.
	streamWorkers = 64

	// A connection that is silent is probed, by the server after serverProbe, by the client after clientProbe (grpc-go
	// allows it no less), and is given up when the probe stays unanswered for probeTimeout. On Linux grpc-go also sets
	// the last one as TCP_USER_TIMEOUT: data that is not acknowledged for so long ends the connection. That is how a
	// pulled cable or a paused container is noticed.
	serverProbe  = 4 * time.Second
	clientProbe  = 10 * time.Second
	probeTimeout = 3 * time.Second
)

// NewServer returns a server with the grid's limits, keepalive, reflection and grpc.health.v1, and its health service.
// The health service says SERVING from the start; whoever drains sets it to NOT_SERVING. Register services on the
// server before it serves.
func NewServer(extra ...grpc.ServerOption) (*Server, *health.Server) {
	opts := append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(Codec()),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverProbe, Timeout: probeTimeout}),
		// Clients may probe more often than grpc-go's default of 5 minutes; without this it closes their connections
		// ("too_many_pings").
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientProbe / 2, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(unaryServerID),
		grpc.ChainStreamInterceptor(streamServerID),
	}, extra...)
	server := &Server{grpc.NewServer(opts...)}
	reflection.Register(server)
	hs := health.NewServer()
	healthpb.RegisterHealthServer(server, hs)
	return server, hs
}

// Dial returns a connection to target that says it is sender. It connects on first use and again when it breaks.
func Dial(target, sender string, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec()), grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientProbe, Timeout: probeTimeout}),
		grpc.WithConnectParams(connectParams),
		grpc.WithChainUnaryInterceptor(unaryClientID(sender)),
		grpc.WithChainStreamInterceptor(streamClientID(sender)),
	}, extra...)
	return grpc.NewClient(target, opts...)
}

// connectParams make a client find a server that came back within about a second: in a grid on one network a longer
// pause (grpc-go's default grows to two minutes) only makes people wait.
var connectParams = grpc.ConnectParams{
	Backoff:           backoffConfig,
	MinConnectTimeout: 2 * time.Second,
}

// NewRequestID returns 26 random characters, unique for all practical purposes.
func NewRequestID() string { return rand.Text() }
