package rpc

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "taskgrid/proto/taskgrid/v1"
)

// rawCodec sends bytes as they are, and reads nothing.
type rawCodec struct{}

func (rawCodec) Name() string                         { return "proto" }
func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// serve starts a server with a dispatcher that knows nothing, and returns a connection to it.
func serve(t *testing.T, dispatcher pb.DispatcherServer) *grpc.ClientConn {
	server, _ := NewServer()
	pb.RegisterDispatcherServer(server, dispatcher)
	lis := bufconn.Listen(1 << 16)
	go server.Serve(lis)
	t.Cleanup(server.Stop)
	conn, err := Dial("passthrough:x", "test", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// send calls a method with bytes for a request, as a stream, and returns how the call ended.
func send(t *testing.T, conn *grpc.ClientConn, method string, request []byte) *status.Status {
	t.Helper()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(request); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for {
		var nothing []byte
		if err := stream.RecvMsg(&nothing); err != nil {
			return status.Convert(err)
		}
	}
}

func TestWhatCannotBeReadIsTheCallersMistakeAndTheFieldIsNamed(t *testing.T) {
	conn := serve(t, pb.UnimplementedDispatcherServer{})
	for _, c := range []struct{ name, method, request, want string }{
		{"a text, in a call", healthpb.Health_Check_FullMethodName, "\x0a\x02\xc3\x28", "service: must be valid UTF-8"},
		{"a text, in a stream", healthpb.Health_Watch_FullMethodName, "\x0a\x01\xff", "service: must be valid UTF-8"},
		{"a text within", pb.Dispatcher_SubmitTasks_FullMethodName, "\x0a\x03\x12\x01\xff", "tasks.payload: must be valid UTF-8"},
		{"no message at all", pb.Dispatcher_GetTask_FullMethodName, "\x08", "the message is not a taskgrid.v1.GetTaskRequest"},
		{"one that ends early", pb.Dispatcher_SubmitTasks_FullMethodName, "\x0a\x7f", "the message is not a taskgrid.v1.SubmitTasksRequest"},
	} {
		st := send(t, conn, c.method, []byte(c.request))
		if st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), c.want) {
			t.Errorf("%s: got %v %q, want InvalidArgument %q", c.name, st.Code(), st.Message(), c.want)
		}
	}
}

// echo answers GetTask with who called.
type echo struct {
	pb.UnimplementedDispatcherServer
}

func (echo) GetTask(ctx context.Context, _ *pb.GetTaskRequest) (*pb.GetTaskResponse, error) {
	return &pb.GetTaskResponse{Task: &pb.Task{RequestId: RequestID(ctx), Payload: Sender(ctx)}}, nil
}

// TestWhatCallersSayOfThemselvesIsPrintable: HTTP/2 lets any byte through, and these values go into logs, histories and
// answers, where one that is not UTF-8 would make the whole answer unreadable.
func TestWhatCallersSayOfThemselvesIsPrintable(t *testing.T) {
	for _, c := range []struct{ requestID, sender, wantID, wantSender string }{
		{"call-1", "me", "call-1", "me"},
		{"\xff\xfe", "\xc3\x28", "", ""},
		{"a\nb", "a\x1b[31m", "", ""},
		{strings.Repeat("x", maxID), strings.Repeat("x", maxID+1), strings.Repeat("x", maxID), ""},
	} {
		ctx := withIncomingID(metadata.NewIncomingContext(t.Context(), metadata.Pairs(requestIDKey, c.requestID, senderKey, c.sender)))
		if id := RequestID(ctx); id != c.wantID && (c.wantID != "" || len(id) != len(NewRequestID())) {
			t.Errorf("request id %q: got %q, want %q", c.requestID, id, c.wantID)
		}
		if got := Sender(ctx); got != c.wantSender {
			t.Errorf("sender %q: got %q, want %q", c.sender, got, c.wantSender)
		}
	}
}

func TestTheIdsOfACallReachItsHandler(t *testing.T) {
	conn := serve(t, echo{})
	resp, err := pb.NewDispatcherClient(conn).GetTask(WithRequestID(t.Context(), "call-7"), &pb.GetTaskRequest{})
	if err != nil || resp.Task.RequestId != "call-7" || resp.Task.Payload != "test" {
		t.Errorf("got %v, %v; want request id call-7 and sender test", resp, err)
	}
}

// FuzzInvalidText: the search for the field that is not valid UTF-8 ends without a panic, whatever the bytes are, and
// finds one whenever that is why a message cannot be read.
func FuzzInvalidText(f *testing.F) {
	for _, seed := range []string{"", "\x0a\x03\x12\x01\xff", "\x0a\x7f", "\x0a\x02\x0a\x00", "\x08\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &pb.SubmitTasksRequest{})
		if err != nil && strings.Contains(err.Error(), "invalid UTF-8") {
			t.Errorf("%q: %v", data, err)
		}
	})
}
