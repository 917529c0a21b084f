//go:build unix

package pages

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

const otherLanguages = "docs/other-languages.md"

// pythonSpeaks says whether Python can speak gRPC.
var pythonSpeaks = sync.OnceValue(func() error {
	return exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf").Run()
})

// needPython skips the test where Python cannot speak gRPC; in CI it can.
func needPython(t *testing.T) {
	if err := pythonSpeaks(); err != nil {
		t.Skip("needs python3-grpcio and python3-protobuf")
	}
	for _, tool := range []string{"/usr/bin/protoc", "/usr/bin/grpc_python_plugin"} {
		if _, err := os.Stat(tool); err != nil {
			t.Skipf("needs %s: protobuf-compiler-grpc", tool)
		}
	}
}

func TestThePageOnOtherLanguagesIsRight(t *testing.T) {
	t.Parallel()
	needPython(t)
	r := newReader(t, "docs", "proto") // the page changes nothing of the program
	r.built = grid.Build(t, "taskgrid/cmd/taskgrid")
	r.useFreePorts()
	r.run(program + " up")
	for _, b := range r.page(otherLanguages) {
		r.follow([]block{b})
		if b.language == "sh" && serves(b.commands()[0]) {
			r.patiently(program + " submit rot13 probe --wait") // the worker is known now
		}
	}
}

// patiently runs a command again and again until it succeeds.
func (r *reader) patiently(command string) {
	r.t.Helper()
	end := time.Now().Add(patience)
	for r.try(command) != nil {
		if time.Now().After(end) {
			r.t.Fatalf("%s does not succeed", command)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func TestTheProgramOfThePageHasAtMostFortyLines(t *testing.T) {
	content, err := os.ReadFile("../../" + otherLanguages)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := blocksOf(string(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if n := strings.Count(b.text, "\n"); b.language == "python" && n > 40 {
			t.Errorf("%s has %d lines", b.file, n)
		}
	}
}

// forgetful is a name service that answers the third heartbeat with NOT_FOUND, as one does that was restarted.
type forgetful struct {
	pb.UnimplementedNameServiceServer
	mu            sync.Mutex
	beats         int
	registrations chan *pb.RegisterWorkerRequest
}

func (f *forgetful) RegisterWorker(_ context.Context, r *pb.RegisterWorkerRequest) (*pb.RegisterWorkerResponse, error) {
	f.registrations <- r
	return &pb.RegisterWorkerResponse{LeaseId: r.LeaseId, HeartbeatInterval: durationpb.New(time.Second)}, nil
}

func (f *forgetful) Heartbeat(context.Context, *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.beats++; f.beats == 3 {
		return nil, status.Error(codes.NotFound, "unknown lease")
	}
	return &pb.HeartbeatResponse{State: pb.WorkerState_WORKER_STATE_ACTIVE}, nil
}

func TestThePythonWorkerKeepsToTheContract(t *testing.T) {
	t.Parallel()
	needPython(t)
	names := &forgetful{registrations: make(chan *pb.RegisterWorkerRequest, 16)}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterNameServiceServer(server, names)
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(lis) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})

	r := newReader(t, "docs", "proto")
	r.names = lis.Addr().String()
	for _, b := range r.page(otherLanguages) { // up to the one that starts the worker
		r.follow([]block{b})
		if b.language == "sh" && serves(b.commands()[0]) {
			break
		}
	}
	registration := receive(t, names.registrations)
	if again := receive(t, names.registrations); again.LeaseId != registration.LeaseId {
		t.Errorf("after NOT_FOUND it registered with lease %s, before that with %s", again.LeaseId, registration.LeaseId)
	}
	checkProcess(t, registration)
}

// checkProcess hands two tasks over, as the dispatcher does.
func checkProcess(t *testing.T, worker *pb.RegisterWorkerRequest) {
	conn, err := rpc.Dial("passthrough:///"+worker.Address, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := pb.NewWorkerServiceClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.Hello.GetWorkerId() != worker.WorkerId || first.Hello.GetLeaseId() != worker.LeaseId {
		t.Fatalf("first message: %v, %v; want Hello of %s with lease %s", first, err, worker.WorkerId, worker.LeaseId)
	}
	if err := stream.Send(&pb.ProcessRequest{Assignments: []*pb.Assignment{
		{TaskId: 1, Attempt: 7, Type: "rot13", Payload: "Hello, grid"},
		{TaskId: 2, Attempt: 8, Type: "rot13", Payload: "äöü"},
	}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 4 {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.Started {
			got = append(got, fmt.Sprintf("started %d/%d", s.TaskId, s.Attempt))
		}
		for _, o := range m.Outcomes {
			got = append(got, fmt.Sprintf("outcome %d/%d %s", o.TaskId, o.Attempt, o.Result))
		}
	}
	want := []string{"started 1/7", "outcome 1/7 Uryyb, tevq", "started 2/8", "outcome 2/8 äöü"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(time.Minute):
		t.Fatal("nothing came within a minute")
	}
	return value
}
