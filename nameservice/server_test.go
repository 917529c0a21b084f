package nameservice_test

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/nameservice"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	active    = pb.WorkerState_WORKER_STATE_ACTIVE
	unhealthy = pb.WorkerState_WORKER_STATE_UNHEALTHY
	offline   = pb.WorkerState_WORKER_STATE_OFFLINE
	draining  = pb.WorkerState_WORKER_STATE_DRAINING
)

func TestRegisteredWorkerIsFoundAsItDescribedItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		res, err := g.client.RegisterWorker(t.Context(), &pb.RegisterWorkerRequest{
			WorkerId: "w1", Types: []string{"sum", "hash", "sum"}, Address: "10.0.0.7:50060", Capacity: 4,
			Labels: map[string]string{"room": "B2"}, Version: "v1",
		})
		if err != nil {
			t.Fatalf("register: %v", err)
		}
		if res.Ttl.AsDuration() != 10*time.Second || res.HeartbeatInterval.AsDuration() != time.Second {
			t.Errorf("terms of the lease: got %v, want 10 s and 1 s", res)
		}
		registered := timestamppb.Now()
		time.Sleep(time.Second)
		if _, err := g.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: res.LeaseId, Running: 3, Load: 0.5}); err != nil {
			t.Fatalf("heartbeat: %v", err)
		}
		got, err := g.client.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{Type: "hash"})
		want := &pb.LookupWorkersResponse{Workers: []*pb.Worker{{
			WorkerId: "w1", Types: []string{"sum", "hash"}, Address: "10.0.0.7:50060", Capacity: 4,
			Labels: map[string]string{"room": "B2"}, Version: "v1", LeaseId: res.LeaseId, State: active,
			RegisteredTime: registered, LastHeartbeat: timestamppb.Now(), Running: 3, Load: 0.5,
		}}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("lookup: %v (-want +got):\n%s", err, diff)
		}
	})
}

// TestALookupIsTrueAtTheTimeOfReading: answers are kept, and none is given that is not what the registry says now.
func TestALookupIsTrueAtTheTimeOfReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		lease := g.register(t, "w1", "hash")
		lookup := func(taskType string, allStates bool) *pb.LookupWorkersResponse {
			res, err := g.client.LookupWorkers(t.Context(), &pb.LookupWorkersRequest{Type: taskType, AllStates: allStates})
			if err != nil {
				t.Fatalf("lookup: %v", err)
			}
			return res
		}
		first := lookup("hash", false)
		if diff := cmp.Diff(first, lookup("hash", false), protocmp.Transform()); diff != "" || len(first.Workers) != 1 {
			t.Errorf("the same is asked again: got %v, and then (-first +second):\n%s", first, diff)
		}
		if all := lookup("sum", false); len(all.Workers) != 0 {
			t.Errorf("another type is asked for: got %v, want nobody", all)
		}
		if _, err := g.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: lease, Running: 3}); err != nil {
			t.Fatalf("heartbeat: %v", err)
		}
		if res := lookup("hash", false); len(res.Workers) != 1 || res.Workers[0].Running != 3 {
			t.Errorf("after a heartbeat: got %v, want w1 with 3 running", res)
		}
		time.Sleep(times.UnhealthyAfter)
		if res := lookup("hash", false); len(res.Workers) != 0 || !res.Settled {
			t.Errorf("after a silence of %v: got %v, want nobody, settled", times.UnhealthyAfter, res)
		}
		if res := lookup("hash", true); len(res.Workers) != 1 || res.Workers[0].State != unhealthy {
			t.Errorf("after a silence of %v, in all states: got %v, want w1, unhealthy", times.UnhealthyAfter, res)
		}
	})
}

func TestLeasesAreUnguessable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		shape, seen := regexp.MustCompile(`^[a-z0-9]{16,20}$`), map[string]bool{}
		for range 100 {
			lease := g.register(t, "w1", "hash")
			if !shape.MatchString(lease) || seen[lease] {
				t.Fatalf("lease %q: want 16 to 20 characters of a-z and 0-9, never seen before", lease)
			}
			seen[lease] = true
		}
	})
}

func TestAnswersBearTheRightCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{MaxWorkers: 1})
		lease := g.register(t, "w1", "hash")
		ctx, c := t.Context(), g.client
		for _, call := range []struct {
			name string
			do   func() error
			want codes.Code
			say  string
		}{
			{"register with a bad address", func() error {
				_, err := c.RegisterWorker(ctx, &pb.RegisterWorkerRequest{WorkerId: "w2", Types: []string{"hash"}, Address: "0.0.0.0:1", Capacity: 1})
				return err
			}, codes.InvalidArgument, `address: "0.0.0.0:1": must name a host that can be dialled`},
			{"register in a full table", func() error {
				_, err := c.RegisterWorker(ctx, registration("w2", "hash"))
				return err
			}, codes.ResourceExhausted, "table is full"},
			{"heartbeat under an unknown lease", func() error {
				_, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: "nobodyslease"})
				return err
			}, codes.NotFound, "register again"},
			{"heartbeat of another worker", func() error {
				_, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: "w2", LeaseId: lease})
				return err
			}, codes.NotFound, "register again"},
			{"heartbeat without lease", func() error {
				_, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: "w1"})
				return err
			}, codes.InvalidArgument, `lease_id: "": is required`},
			{"heartbeat with negative load", func() error {
				_, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: lease, Load: -1})
				return err
			}, codes.InvalidArgument, "load: -1: must be a number from 0"},
			{"drain an unknown worker", func() error {
				_, err := c.SetDraining(ctx, &pb.SetDrainingRequest{WorkerId: "w2", Draining: true})
				return err
			}, codes.NotFound, `unknown worker: "w2"`},
			{"deregister an unknown lease", func() error {
				_, err := c.DeregisterWorker(ctx, &pb.DeregisterWorkerRequest{LeaseId: "nobodyslease"})
				return err
			}, codes.OK, ""},
			{"look up a bad type", func() error {
				_, err := c.LookupWorkers(ctx, &pb.LookupWorkersRequest{Type: "Hash"})
				return err
			}, codes.InvalidArgument, `type: "Hash": must be 1 to 32 characters`},
			{"look up an unknown type", func() error {
				_, err := c.LookupWorkers(ctx, &pb.LookupWorkersRequest{Type: "unheard-of"})
				return err
			}, codes.OK, ""},
			{"announce nothing", func() error {
				_, err := c.AnnounceService(ctx, &pb.AnnounceServiceRequest{})
				return err
			}, codes.InvalidArgument, `service: "": must be`},
			{"look up no service", func() error {
				_, err := c.LookupService(ctx, &pb.LookupServiceRequest{})
				return err
			}, codes.InvalidArgument, `service: "": must be`},
		} {
			err := call.do()
			expectCode(t, call.name, err, call.want)
			if got := status.Convert(err).Message(); !strings.Contains(got, call.say) {
				t.Errorf("%s: got %q, want %q in it", call.name, got, call.say)
			}
		}
	})
}

// TestTwoProcessesOfOneNameAreWarnedOf: a restart is no reason to warn, whoever is replaced and lives is.
func TestTwoProcessesOfOneNameAreWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		lease := g.register(t, "w1", "hash")
		second := registration("w1", "hash")
		second.Address = "10.0.0.8:50060"
		if _, err := g.client.RegisterWorker(t.Context(), second); err != nil {
			t.Fatalf("register: %v", err)
		}
		if log := g.log.String(); strings.Contains(log, "level=WARN") || !strings.Contains(log, "replaced_address=10.0.0.7:50060") {
			t.Errorf("after a second registration: want no warning, and the address that it replaces, in:\n%s", log)
		}
		_, err := g.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: lease})
		expectCode(t, "heartbeat of the one that was replaced", err, codes.NotFound)
		if log := g.log.String(); !strings.Contains(log, "level=WARN msg=\"two processes") || !strings.Contains(log, "10.0.0.8:50060") {
			t.Errorf("after a heartbeat of the one that was replaced: want a warning with the other's address in:\n%s", log)
		}
	})
}

// TestRestartedNameServiceIsFullAfterTwoHeartbeats lets workers live through the death of their name service.
func TestRestartedNameServiceIsFullAfterTwoHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 50
		g := newGrid(t, nameservice.Options{})
		leases, want := map[string]string{}, map[string]pb.WorkerState{}
		for i := range workers {
			id := fmt.Sprint("w", i)
			leases[id], want[id] = g.register(t, id, "hash", "sum"), active
		}
		g.stop()
		g = newGrid(t, nameservice.Options{})
		for range 2 { // intervals
			for id, lease := range leases {
				req := &pb.HeartbeatRequest{WorkerId: id, LeaseId: lease}
				if _, err := g.client.Heartbeat(t.Context(), req); status.Code(err) != codes.NotFound {
					continue
				}
				again := registration(id, "hash", "sum")
				again.LeaseId = lease
				res, err := g.client.RegisterWorker(t.Context(), again)
				if err != nil || res.LeaseId != lease {
					t.Fatalf("register %s again: got %v, %v, want the lease it brought", id, res, err)
				}
			}
			time.Sleep(time.Second)
		}
		if diff := cmp.Diff(want, g.lookup(t, "sum")); diff != "" {
			t.Errorf("workers after two heartbeats (-want +got):\n%s", diff)
		}
	})
}

func TestStatusAndMetricsTellTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{Version: "v1"})
		g.register(t, "silent", "hash")
		time.Sleep(4 * time.Second)
		lease := g.register(t, "w1", "hash")
		g.register(t, "w1", "hash")
		lease2 := g.register(t, "w2", "hash")
		if _, err := g.client.SetDraining(t.Context(), &pb.SetDrainingRequest{WorkerId: "w2", Draining: true}); err != nil {
			t.Fatal(err)
		}
		g.heartbeat(t, "w2", lease2)
		_, err := g.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{WorkerId: "w1", LeaseId: lease})
		expectCode(t, "heartbeat of the replaced process", err, codes.NotFound)
		g.lookup(t, "")
		if _, err := g.client.AnnounceService(t.Context(), &pb.AnnounceServiceRequest{Service: "dispatcher", InstanceId: "d1", Address: "d1:1"}); err != nil {
			t.Fatal(err)
		}
		w := g.watch(t, &pb.WatchWorkersRequest{})
		w.recv(t)
		watchService(t, g.client, "dispatcher").expect(t, "who watches the service", "d1@0")

		is, err := g.client.GetStatus(t.Context(), &pb.NameServiceGetStatusRequest{})
		if err != nil {
			t.Fatalf("status: %v", err)
		}
		states := map[string]pb.WorkerState{}
		for _, w := range is.Workers {
			states[w.WorkerId] = w.State
		}
		if diff := cmp.Diff(map[string]pb.WorkerState{"silent": unhealthy, "w1": active, "w2": draining}, states); diff != "" {
			t.Errorf("workers in the status (-want +got):\n%s", diff)
		}
		want := &pb.NameServiceGetStatusResponse{
			Epoch: w.last.Epoch, Settled: true, Registrations: 4, Heartbeats: 1, UnknownLeases: 1, Watchers: 1, Version: "v1",
		}
		rest := protocmp.IgnoreFields(is, "workers", "uptime")
		if diff := cmp.Diff(want, is, protocmp.Transform(), rest); diff != "" || is.Uptime.AsDuration() != 4*time.Second {
			t.Errorf("status after 4 s: %v (-want +got):\n%s", is.Uptime, diff)
		}
		got := gather(t, g.server.Metrics())
		delete(got, "changes_total")
		if diff := cmp.Diff(map[string]float64{
			"workers/active": 1, "workers/draining": 1, "workers/unhealthy": 1, "workers/offline": 0, "leases": 3,
			"registrations_total": 4, "replaced_total": 1, "heartbeats_total": 1, "unknown_leases_total": 1,
			"lookups_total": 1, "services": 1, "settled": 1, "watchers": 1, "service_watchers": 1, "watchers_dropped_total": 0,
		}, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

// gather returns the values of a collector by name, without the common prefix, and label.
func gather(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := strings.TrimPrefix(family.GetName(), "taskgrid_nameservice_")
			for _, label := range m.Label {
				name += "/" + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestDispatcherIsFoundWhileItAnnouncesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, nameservice.Options{})
		found := func() map[string]uint64 {
			res, err := g.client.LookupService(t.Context(), &pb.LookupServiceRequest{Service: "dispatcher"})
			if err != nil {
				t.Fatalf("lookup: %v", err)
			}
			all := map[string]uint64{}
			for _, in := range res.Instances {
				all[in.Address] = in.Term
			}
			return all
		}
		res, err := g.client.AnnounceService(t.Context(),
			&pb.AnnounceServiceRequest{Service: "dispatcher", InstanceId: "d1", Address: "d1:50052", Term: 7})
		if err != nil || res.Ttl.AsDuration() != 10*time.Second || res.HeartbeatInterval.AsDuration() != time.Second {
			t.Fatalf("announce: got %v, %v, want 10 s and 1 s", res, err)
		}
		time.Sleep(9 * time.Second)
		if got := found(); !maps.Equal(got, map[string]uint64{"d1:50052": 7}) {
			t.Errorf("after 9 s: got %v, want d1", got)
		}
		time.Sleep(time.Second)
		if got := found(); len(got) != 0 {
			t.Errorf("after 10 s: got %v, want none", got)
		}
	})
}
