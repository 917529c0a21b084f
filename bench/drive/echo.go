package drive

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoMethod is the one method of the yardstick's server.
const echoMethod = "/taskgrid.bench.Echo/Echo"

// InFlight is how many calls of the yardstick are out at a time.
const InFlight = 64

// Payload is the payload of a measured task, and of an echo: 32 bytes.
const Payload = "abcdefghijklmnopqrstuvwxyz012345"

// Reversed is what the type reverse makes of Payload.
const Reversed = "543210zyxwvutsrqponmlkjihgfedcba"

// NewEchoServer returns grpc-go as it comes, with one unary method that answers with what it is asked.
func NewEchoServer() *grpc.Server {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "taskgrid.bench.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var text wrapperspb.StringValue
			if err := decode(&text); err != nil {
				return nil, err
			}
			return &text, nil
		}}},
	}, nil)
	return server
}

// ServeEcho serves the yardstick on lis until ctx ends.
func ServeEcho(ctx context.Context, lis net.Listener) error {
	server := NewEchoServer()
	defer context.AfterFunc(ctx, server.Stop)()
	return server.Serve(lis)
}

// EchoClient calls the yardstick's server over one connection.
type EchoClient struct{ conn *grpc.ClientConn }

// DialEcho returns a client of the yardstick's server at address.
func DialEcho(address string) (*EchoClient, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &EchoClient{conn: conn}, nil
}

// Close ends the connection.
func (c *EchoClient) Close() error { return c.conn.Close() }

// Call makes one call.
func (c *EchoClient) Call(ctx context.Context) error {
	var answer wrapperspb.StringValue
	return c.conn.Invoke(ctx, echoMethod, wrapperspb.String(Payload), &answer, grpc.WaitForReady(true))
}
