package nameservice

import (
	"container/list"
	"time"
)

// State is what the registry concludes from a worker's heartbeats.
type State int

// The states, in the order of a worker's decline.
const (
	Active    State = iota + 1 // heartbeats arrive: gets tasks
	Draining                   // heartbeats arrive, but it was asked to get nothing new
	Unhealthy                  // some heartbeats are missing: gets nothing new
	Offline                    // silent for so long that its work counts as lost
)

// String returns the state's name as people read it: "active".
func (s State) String() string {
	names := [...]string{Active: "active", Draining: "draining", Unhealthy: "unhealthy", Offline: "offline"}
	if s < Active || s > Offline {
		return "unspecified"
	}
	return names[s]
}

// Worker is an entry as a reader sees it, at the moment of reading.
type Worker struct {
	*Registration
	Lease         string
	State         State
	Registered    time.Time // when the lease began
	LastHeartbeat time.Time // or the registration, when none came yet
	Running       uint32    // tasks it said it runs
	Load          float32   // how busy it said its processors are, 0 to 1 per processor
}

// entry is a worker's place in the registry.
type entry struct {
	Worker
	draining bool          // it was asked to get nothing new
	heard    time.Time     // LastHeartbeat, by the clock of Registry.listened
	version  uint64        // of its latest change
	stamp    uint64        // of the latest time that something of Worker changed
	queue    *list.List    // alive, unhealthy or offline
	inQueue  *list.Element // its place there
	changed  *list.Element // its place in the order of versions
}

// lively is the state of the worker while its heartbeats arrive.
func (e *entry) lively() State {
	if e.draining {
		return Draining
	}
	return Active
}
