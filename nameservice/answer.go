package nameservice

import (
	"google.golang.org/protobuf/proto"

	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// maxAnswers bounds the answers to lookups that are kept encoded, and maxAnswer each of them in bytes. A longer one has so
	// many workers that a heartbeat of one of them makes it old before anybody asks again.
	maxAnswers = 1024
	maxAnswer  = 16 << 10
)

// question is what decides about the answer to a lookup, beside the registry.
type question struct {
	taskType  string
	allStates bool
	member    bool // who asks is told leases
}

// answer is what a lookup was answered, encoded. Whether it is still true is asked with each lookup: it changes with every
// heartbeat, and with every silence that has become too long.
type answer struct {
	edition Edition
	settled bool
	message *pb.LookupWorkersResponse
}

// still tells whether a kept answer says what would be answered now.
func (a answer) still(now answer) bool {
	return a.message != nil && a.edition == now.edition && a.settled == now.settled
}

// keepAnswer encodes an answer, keeps it for those who ask the same, and returns its message.
func (s *Server) keepAnswer(q question, a answer) *pb.LookupWorkersResponse {
	content, err := proto.Marshal(a.message)
	if err != nil || len(content) > maxAnswer || a.edition.workers == 0 {
		return a.message // if it cannot be encoded, gRPC says so
	}
	encoded := new(pb.LookupWorkersResponse)
	// Fields that a message does not know are sent as they came: here it knows none, and all are sent as they are.
	encoded.ProtoReflect().SetUnknown(content)
	a.message = encoded
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) >= maxAnswers {
		clear(s.answers)
	}
	s.answers[q] = a
	return encoded
}
