//go:build unix

package process

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// secureGrid is a grid with mutual TLS and a join token: three dispatchers, a worker, monitoring.
type secureGrid struct {
	*grid.Grid
	certs     grid.Certs
	cluster   *grid.Cluster
	worker    *grid.Process
	workerAt  string
	addresses map[string]string // gRPC of each kind of process
}

func newSecureGrid(t *testing.T) *secureGrid {
	s := &secureGrid{Grid: grid.New(t), certs: grid.NewCerts(t)}
	s.Secure(s.certs)
	ports := grid.FreePorts(t, 2)
	s.workerAt = ports[0]
	s.Nameservice(s.certs.TokenFlags(rpc.NameService)...)
	s.cluster = s.Dispatchers(3, s.certs.TokenFlags(rpc.Dispatcher)...)
	s.worker = s.Worker("hash-1", "hash", s.certs.TokenFlags(rpc.Worker, "--listen", s.workerAt)...)
	s.Monitoring(s.certs.Flags(rpc.Monitoring, "--listen", ports[1])...)
	s.addresses = map[string]string{"name service": s.NS, "dispatcher": s.cluster.Replicas[0].Address, "worker": s.workerAt, "monitoring": ports[1]}
	s.works("done under TLS")
	return s
}

// works does a task, and one more: the grid is up, and was not harmed.
func (s *secureGrid) works(what string) {
	c := s.Client()
	s.Eventually("a task is "+what, func(ctx context.Context) error {
		task, err := c.Run(ctx, &pb.TaskSpec{Type: "hash", Payload: "x"})
		if err == nil && task.State != pb.TaskState_TASK_STATE_COMPLETED {
			err = fmt.Errorf("it is %v: %s", task.State, task.Error)
		}
		return err
	})
}

// intruders are the ways in which somebody without a certificate of the grid's CA may call.
func intruders(t *testing.T) map[string]grpc.DialOption {
	foreign := grid.NewCerts(t)
	return map[string]grpc.DialOption{
		"in plaintext":                     grpc.EmptyDialOption{},
		"with TLS and no certificate":      grpc.WithTransportCredentials(credentials.NewTLS(showing(nil))),
		"with a certificate of another CA": grpc.WithTransportCredentials(credentials.NewTLS(showing(own(foreign, rpc.Dispatcher)))),
	}
}

func TestWithoutCertificateNobodyRegistersSubmitsReadsOrJoinsRaft(t *testing.T) {
	t.Parallel()
	s := newSecureGrid(t)
	calls := map[string]map[string]func(context.Context, *grpc.ClientConn) error{
		"name service": {
			"register": func(ctx context.Context, c *grpc.ClientConn) error {
				_, err := pb.NewNameServiceClient(c).RegisterWorker(ctx, &pb.RegisterWorkerRequest{WorkerId: "w", Types: []string{"hash"}, Address: "127.0.0.1:1", Capacity: 1})
				return err
			},
			"look up": func(ctx context.Context, c *grpc.ClientConn) error {
				_, err := pb.NewNameServiceClient(c).LookupWorkers(ctx, &pb.LookupWorkersRequest{})
				return err
			},
		},
		"dispatcher": {
			"submit": func(ctx context.Context, c *grpc.ClientConn) error {
				_, err := pb.NewDispatcherClient(c).SubmitTasks(ctx, &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "hash"}}})
				return err
			},
			"get a task": func(ctx context.Context, c *grpc.ClientConn) error {
				_, err := pb.NewDispatcherClient(c).GetTask(ctx, &pb.GetTaskRequest{Id: 1})
				return err
			},
			"list tasks": func(ctx context.Context, c *grpc.ClientConn) error {
				_, err := pb.NewDispatcherClient(c).ListTasks(ctx, &pb.ListTasksRequest{})
				return err
			},
			"watch events": func(ctx context.Context, c *grpc.ClientConn) error {
				stream, err := pb.NewDispatcherClient(c).WatchEvents(ctx, &pb.WatchEventsRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
		},
		"worker": {"take over its stream": openProcess},
		"monitoring": {"read statistics": func(ctx context.Context, c *grpc.ClientConn) error {
			_, err := pb.NewMonitoringClient(c).GetStats(ctx, &pb.GetStatsRequest{})
			return err
		}},
	}
	for how, option := range intruders(t) {
		for where, list := range calls {
			list["ask for reflection"] = func(ctx context.Context, c *grpc.ClientConn) error {
				stream, err := reflection.NewServerReflectionClient(c).ServerReflectionInfo(ctx)
				if err == nil {
					err = stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}})
				}
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			}
			conn, err := rpc.Dial("passthrough:///"+s.addresses[where], "intruder", option)
			if err != nil {
				t.Fatal(err)
			}
			for what, call := range list {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if err := call(ctx, conn); status.Code(err) != codes.Unavailable {
					t.Errorf("%s: %s %s: %v, want that no connection comes about", where, what, how, err)
				}
				cancel()
			}
			conn.Close()
		}
	}
	for _, r := range s.cluster.Replicas {
		for how, dial := range raftIntruders(t, s.certs) {
			if err := dial(r.Raft); err == nil {
				t.Errorf("raft's port of %s answers a caller %s", r.ID, how)
			}
		}
	}
	s.works("done after all that")
}

// own returns the certificate of a role.
func own(c grid.Certs, role rpc.Role) *tls.Certificate { return &c.TLS(role).Server().Certificates[0] }

func openProcess(ctx context.Context, c *grpc.ClientConn) error {
	stream, err := pb.NewWorkerServiceClient(c).Process(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	return err
}

// raftIntruders try to speak to raft's port. They return nil if they got through: if the port takes what they send.
func raftIntruders(t *testing.T, ours grid.Certs) map[string]func(address string) error {
	foreign := grid.NewCerts(t)
	secured := func(show *tls.Certificate) func(string) error {
		return func(address string) error {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, showing(show))
			if err != nil {
				return err
			}
			defer conn.Close()
			return staysOpen(conn)
		}
	}
	return map[string]func(string) error{
		"in plaintext": func(address string) error {
			conn, err := net.DialTimeout("tcp", address, 5*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			return staysOpen(conn)
		},
		"without certificate":              secured(nil),
		"with a certificate of another CA": secured(own(foreign, rpc.Dispatcher)),
		"with a client's certificate":      secured(own(ours, rpc.Client)),
		"with a worker's certificate":      secured(own(ours, rpc.Worker)),
	}
}

// staysOpen sends some bytes and returns nil unless the other side hangs up. In TLS 1.3 the refusal of a certificate
// comes with the first read.
func staysOpen(conn net.Conn) error {
	if _, err := conn.Write(make([]byte, 64)); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(grid.Patience))
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return err
}
