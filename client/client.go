// Package client is the Go library of the grid: submit tasks, wait for them, look at them.
//
//	c, err := client.New(client.Config{NameServices: "127.0.0.1:50051"})
//	task, err := c.Run(ctx, &pb.TaskSpec{Type: "reverse", Payload: "hello"})
//	fmt.Println(task.GetResult()) // olleh
//
// What a caller may rely on:
//
//   - A call goes on until its context ends. A dispatcher that restarts, or another one that takes over, is a pause and
//     not an error. Only Config.Patience limits the attempts to reach a grid for the first time.
//   - However often a submission has to be sent, it makes one task: the library gives each task an idempotency key.
//   - Wait tells of each task once, Events of each event once and in order, whatever breaks in between.
//   - The methods of a Client may be called concurrently.
//
// Errors that a caller may want to tell apart: *RefusedError (the grid answered, and the answer is no), ErrUnreachable
// (nobody answered), and the context's own.
//
// The decisions stand in retry.go and flight.go, without I/O or clock; the rest of the package carries them out.
package client

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

// Config says where the grid is and who calls. The zero value of a field is its default.
type Config struct {
	// NameServices says where to ask for the leading dispatcher: host:port, or several separated by commas, or a DNS name
	// with many addresses. "": nowhere; then Dispatcher is required.
	NameServices string

	// Dispatcher is host:port of a dispatcher, or several separated by commas. It counts while no name service tells of one.
	Dispatcher string

	// Sender is who the calls say they are from. "": "client".
	Sender string

	// Patience is how long to try before the grid has answered for the first time. 0: until the context of the call ends.
	// It counts five times where a name service answers, because such a grid is perhaps only choosing a leader.
	Patience time.Duration

	// Behind is told with each answer to a stale read how old what it shows may be, and the index of the newest journal
	// entry in it. A leader answers with 0. nil: nobody is.
	Behind func(age time.Duration, appliedIndex uint64)

	// Log hears when the grid does not answer and when it answers again. nil: nobody does.
	Log *slog.Logger

	// DialOptions are added to those of every connection.
	DialOptions []grpc.DialOption
}

// Client is a connection to the grid.
type Client struct {
	cfg        Config
	log        *slog.Logger
	finder     *discovery.Finder
	conn       *grpc.ClientConn
	dispatcher pb.DispatcherClient
	raft       pb.RaftServiceClient
	reached    atomic.Bool // a dispatcher has answered, at least once
	keys       string      // begins the idempotency keys of this client's submissions
	keyed      atomic.Uint64
}

// New returns a client. It connects with the first call. The error says which field of cfg is wrong.
func New(cfg Config) (*Client, error) {
	if cfg.Sender == "" {
		cfg.Sender = "client"
	}
	if cfg.Behind == nil {
		cfg.Behind = func(time.Duration, uint64) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	finder, err := discovery.NewFinder(discovery.Config{
		NameServices: cfg.NameServices, Dispatcher: cfg.Dispatcher, Sender: cfg.Sender, DialOptions: cfg.DialOptions})
	if err != nil {
		return nil, err
	}
	conn, err := finder.Dial()
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, log: cfg.Log, finder: finder, conn: conn, keys: newKeys(), dispatcher: pb.NewDispatcherClient(conn), raft: pb.NewRaftServiceClient(conn)}, nil
}

// Close ends the connection; calls that still run end with an error.
func (c *Client) Close() error { return c.conn.Close() }

// Dispatcher returns the leading dispatcher as the contract has it, for callers that carry on without the help of this
// library: nothing is tried again.
func (c *Client) Dispatcher() pb.DispatcherClient { return c.dispatcher }

// withRequestID returns ctx with a request id, so that all tries of one call bear the same.
func withRequestID(ctx context.Context) context.Context {
	if rpc.RequestID(ctx) != "" {
		return ctx
	}
	return rpc.WithRequestID(ctx, rpc.NewRequestID())
}
