package nameservice_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"taskgrid/internal/rpc"
	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

// closedGrid is a name service that wants a join token, and a member, a stranger and an impostor with another token.
func closedGrid(t *testing.T) (member, stranger, impostor pb.NameServiceClient) {
	token := func(text string) rpc.Token {
		parsed, err := rpc.ParseToken([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	right, wrong := token("the-token-of-this-grid"), token("another-token-of-16-bytes")
	g := newGrid(t, nameservice.Options{Authorize: right.Require})
	as := func(opts ...grpc.DialOption) pb.NameServiceClient {
		return pb.NewNameServiceClient(g.connect(t, opts...))
	}
	const service = "/taskgrid.v1.NameService/"
	return as(right.Show(service)), as(), as(wrong.Show(service))
}

func TestOnlyHoldersOfTheJoinTokenChangeTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member, stranger, impostor := closedGrid(t)
		registered, err := member.RegisterWorker(t.Context(), registration("w1", "hash"))
		expectCode(t, "a member registers", err, codes.OK)
		lease := registered.GetLeaseId()
		for name, call := range map[string]func(context.Context, pb.NameServiceClient) error{
			"register": func(ctx context.Context, c pb.NameServiceClient) error {
				_, err := c.RegisterWorker(ctx, registration("w2", "hash"))
				return err
			},
			"heartbeat under the lease of another": func(ctx context.Context, c pb.NameServiceClient) error {
				_, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: lease})
				return err
			},
			"drain": func(ctx context.Context, c pb.NameServiceClient) error {
				_, err := c.SetDraining(ctx, &pb.SetDrainingRequest{WorkerId: "w1", Draining: true})
				return err
			},
			"deregister another's lease": func(ctx context.Context, c pb.NameServiceClient) error {
				_, err := c.DeregisterWorker(ctx, &pb.DeregisterWorkerRequest{LeaseId: lease})
				return err
			},
			"announce a dispatcher": func(ctx context.Context, c pb.NameServiceClient) error {
				_, err := c.AnnounceService(ctx, &pb.AnnounceServiceRequest{Service: "dispatcher", InstanceId: "d", Address: "d:1", Term: 99})
				return err
			},
			"watch, which tells leases": func(ctx context.Context, c pb.NameServiceClient) error {
				stream, err := c.WatchWorkers(ctx, &pb.WatchWorkersRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			expectCode(t, "a stranger wants to "+name, call(ctx, stranger), codes.Unauthenticated)
			expectCode(t, "an impostor wants to "+name, call(ctx, impostor), codes.PermissionDenied)
			cancel()
		}
		all, err := member.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{AllStates: true})
		if err != nil || len(all.Workers) != 1 || all.Workers[0].State != active {
			t.Errorf("after all that the table holds %v, %v; want w1, active", all, err)
		}
		watchService(t, stranger, "dispatcher").expect(t, "a stranger watches who leads", "")
		services, err := member.LookupService(t.Context(), &pb.LookupServiceRequest{Service: "dispatcher"})
		if err != nil || len(services.Instances) != 0 {
			t.Errorf("announced: %v, %v; want nobody", services, err)
		}
	})
}

func TestOnlyHoldersOfTheJoinTokenAreToldLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member, stranger, impostor := closedGrid(t)
		registered, err := member.RegisterWorker(t.Context(), registration("w1", "hash"))
		expectCode(t, "a member registers", err, codes.OK)
		for who, c := range map[string]pb.NameServiceClient{"a member": member, "a stranger": stranger, "an impostor": impostor} {
			want := ""
			if c == member {
				want = registered.LeaseId
			}
			found, err := c.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{Type: "hash"})
			if err != nil || len(found.Workers) != 1 || found.Workers[0].LeaseId != want {
				t.Errorf("%s looks up %v, %v; want one worker with lease %q", who, found, err, want)
			}
			status, err := c.GetStatus(t.Context(), &pb.NameServiceGetStatusRequest{})
			if err != nil || len(status.Workers) != 1 || status.Workers[0].LeaseId != want {
				t.Errorf("%s is told %v, %v; want one worker with lease %q", who, status, err, want)
			}
		}
	})
}
