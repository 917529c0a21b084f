package workers

import (
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestTheWorkerRegistersWhatItIsAndKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		time.Sleep(10500 * time.Millisecond)
		entry := g.names.entry("w1")
		if entry == nil || entry.Address != "w1.example:1" || entry.Capacity != 2 || !slices.Contains(entry.Types, "echo") {
			t.Fatalf("entered as %v", entry)
		}
		if n := g.names.heartbeats(); n < 10 || n > 12 {
			t.Errorf("%d heartbeats in 10.5 s, want one a second", n)
		}
		if hello := g.dial().hello; hello.WorkerId != "w1" || hello.LeaseId != entry.LeaseId {
			t.Errorf("Hello says %s and lease %s, registered as w1 with lease %s", hello.WorkerId, hello.LeaseId, entry.LeaseId)
		}
	})
}

func TestAnUnknownLeaseIsRegisteredAgainAtOnceUnderTheSameLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		time.Sleep(5 * time.Second)
		lease := g.names.entry("w1").LeaseId
		g.names.forget()
		time.Sleep(1050 * time.Millisecond) // one heartbeat, answered NOT_FOUND
		entry := g.names.entry("w1")
		if entry == nil || entry.LeaseId != lease {
			t.Fatalf("one heartbeat after the name service lost it, the worker is entered as %v, want lease %s", entry, lease)
		}
	})
}

func TestANameServiceThatIsAwayIsFoundWithinTwoHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		time.Sleep(2 * time.Second)
		g.names.setDown(true)
		g.names.forget()
		time.Sleep(5 * time.Minute)
		g.names.setDown(false)
		time.Sleep(2 * time.Second)
		if g.names.entry("w1") == nil {
			t.Error("two seconds after the name service came back the worker is not registered")
		}
	})
}

func TestADrainThatSomebodyAskedForOutlivesTheNameService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTestGrid(t, testHandlers, nil)
		time.Sleep(time.Second)
		g.names.SetDraining(t.Context(), &pb.SetDrainingRequest{WorkerId: "w1", Draining: true})
		time.Sleep(2 * time.Second) // a heartbeat tells the worker
		g.names.forget()
		time.Sleep(2 * time.Second)
		if entry := g.names.entry("w1"); entry == nil || !entry.Draining {
			t.Errorf("registered again as %v, want draining", entry)
		}
	})
}

// movingListener is a listener whose address changes.
type movingListener struct {
	net.Listener
	last atomic.Int32 // byte of the address
}

func (l *movingListener) Addr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(l.last.Load())), Port: 50060}
}

// A container that was cut off from its network and comes back may have another address, while its lease lives on.
func TestAWorkerThatHasMovedRegistersItsNewAddressUnderItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listener movingListener
		g := newTestGrid(t, map[string]Handler{"echo": echo}, func(c *Config) {
			listener.Listener = c.Listener
			c.Listener, c.Advertise = &listener, ""
		})
		before := g.names.entry("w1")
		listener.last.Store(7)
		time.Sleep(2 * time.Second)
		after := g.names.entry("w1")
		if before.Address != "10.0.0.0:50060" || after.Address != "10.0.0.7:50060" || after.LeaseId != before.LeaseId {
			t.Errorf("it registered %s under %s, and after it moved %s under %s; want the new address under the same lease",
				before.Address, before.LeaseId, after.Address, after.LeaseId)
		}
	})
}
