package nameservice

import (
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

// FuzzRegistration: whatever a worker says of itself is refused in words, or found again under its types, and takes no
// more room than was reckoned with.
func FuzzRegistration(f *testing.F) {
	for _, req := range []*pb.RegisterWorkerRequest{
		{}, {WorkerId: "w1", Types: []string{"hash", "hash"}, Address: "10.0.0.7:50060", Capacity: 4},
		{WorkerId: "w1", Types: []string{"hash"}, Address: "[::]:1", Capacity: 4},
		{WorkerId: "w1", Types: []string{"hash"}, Address: "[fe80::1%eth0]:65535", Capacity: 10_000, Labels: map[string]string{"k": "v"}, LeaseId: "abcdefgh"},
		{WorkerId: "w/1", Types: []string{"A"}, Address: "host", Capacity: 1 << 31},
	} {
		data, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req := &pb.RegisterWorkerRequest{}
		if proto.Unmarshal(data, req) != nil {
			return
		}
		now := time.Unix(1e9, 0)
		r := NewRegistry(Times{time.Second, 3 * time.Second, 10 * time.Second, time.Minute}, Limits{Workers: 10, Bytes: maxTableBytes, Services: 10, Departures: 10}, now)
		a := fromRegister(req)
		a.FreshLease = "abcdefghij"
		if _, err := r.Register(now, a); err != nil {
			if !errors.Is(err, ErrInvalid) || !utf8.ValidString(err.Error()) {
				t.Errorf("%v: %v is no ErrInvalid in valid UTF-8", req, err)
			}
			return
		}
		for _, typ := range a.Registration.Types {
			found := r.Lookup(now, typ, false)
			if len(found) != 1 {
				t.Fatalf("%v: %d workers of type %s", req, len(found), typ)
			}
			if n := proto.Size(toWorkers(found)[0]); n > a.Registration.size() {
				t.Errorf("%v: takes %d bytes, reckoned with %d", req, n, a.Registration.size())
			}
		}
	})
}
