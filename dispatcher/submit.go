package dispatcher

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/dispatcher/core"
	"taskgrid/dispatcher/journal"
	pb "taskgrid/proto/taskgrid/v1"
)

// submission is one task on its way in.
type submission struct {
	spec   core.Spec
	result *pb.SubmitResult // nil until it is decided
	task   *core.Task       // when accepted: its version at the time

	accepted pb.SubmitResult // what result is then
}

// submissionsOf returns a submission for each of n tasks, of which spec gives the i-th.
func submissionsOf(n int, spec func(i int) core.Spec) []*submission {
	made, list := make([]submission, n), make([]*submission, n)
	for i := range made {
		made[i].spec, list[i] = spec(i), &made[i]
	}
	return list
}

// refuse decides a submission.
func (s *submission) refuse(code codes.Code, format string, args ...any) {
	s.result = &pb.SubmitResult{Error: taskError(code, format, args...)}
}

func taskError(code codes.Code, format string, args ...any) *pb.TaskError {
	return &pb.TaskError{Code: uint32(code), Message: fmt.Sprintf(format, args...)}
}

// submit judges each of the tasks, makes the good ones durable, and then calls done, once, with every submission
// decided; or with an error when nobody knows. done may be called before submit returns.
func (d *Dispatcher) submit(subs []*submission, done func(error)) {
	for _, s := range subs {
		if err := s.spec.Complete(d.cfg.defaults()); err != nil {
			s.refuse(codes.InvalidArgument, "%v", err)
		}
	}
	accepted, bytes, err := d.admit(subs)
	if err != nil {
		done(err)
		return
	}
	if len(accepted) == 0 { // nothing goes through the journal, and a deposed leader knows neither types nor room
		d.journal.Verify(done)
		return
	}
	d.enter(accepted, core.At(time.Now()), func(err error) {
		d.mu.Lock()
		d.reserved -= len(accepted)
		d.reservedB -= bytes
		d.mu.Unlock()
		done(err)
	})
}

// enter makes admitted submissions durable, and then calls done like submit. Many go one piece after the other, each of
// a size that the journal takes. What a full journal does not take is refused.
func (d *Dispatcher) enter(subs []*submission, at core.Instant, done func(error)) {
	records := make([][]byte, 0, len(subs))
	var encoder core.Encoder
	for size := 0; len(records) < len(subs) && size < proposeBytes; {
		rec := encoder.Encode(&core.Submit{At: at, Spec: &subs[len(records)].spec})
		records, size = append(records, rec), size+len(rec)
	}
	if len(records) == 0 {
		done(nil)
		return
	}
	err := d.journal.Propose(records, func(results []any, err error) {
		if err == nil {
			err = decideAll(subs[:len(records)], results)
		}
		if err != nil {
			done(err)
			return
		}
		d.enter(subs[len(records):], at, func(err error) {
			if errors.Is(err, journal.ErrNotLeader) { // of this piece nothing was done, but of the call something
				err = journal.ErrUnknown
			}
			done(err)
		})
	})
	switch {
	case errors.Is(err, journal.ErrFull):
		for _, s := range subs {
			s.refuse(codes.ResourceExhausted, "the journal cannot keep up; try again later")
		}
		done(nil)
	case err != nil:
		done(err)
	}
}

// decideAll takes what the machine made of submissions.
func decideAll(subs []*submission, results []any) error {
	for i, s := range subs {
		submitted, ok := results[i].(core.Submitted)
		if !ok { // the journal holds what this program cannot read: the process is ending
			return journal.ErrUnknown
		}
		s.decide(submitted)
	}
	return nil
}

// admit refuses what is of an unknown type or has no room, and reserves room for the rest.
func (d *Dispatcher) admit(subs []*submission) (accepted []*submission, bytes int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.scheduler == nil {
		return nil, 0, journal.ErrNotLeader
	}
	live, liveBytes := d.machine.Live()
	live, liveBytes = live+d.reserved, liveBytes+d.reservedB
	known := "" // the known types, listed once for all that are refused
	for _, s := range subs {
		size := int64(len(s.spec.Payload))
		switch {
		case s.result != nil:
			continue
		case !d.machine.Known(s.spec.Type):
			if known == "" {
				known = d.knownTypes()
			}
			s.refuse(codes.FailedPrecondition, "type: %q: no worker has ever registered it; known types: %s", s.spec.Type, known)
			continue
		case live+len(accepted) < d.cfg.MaxLive && liveBytes+bytes+size <= d.cfg.MaxLiveBytes: // there is room, whatever it is
		case s.spec.Key != "" && d.machine.HasKey(s.spec.Key): // no new task: needs no room
		case live+len(accepted) >= d.cfg.MaxLive:
			s.refuse(codes.ResourceExhausted, "queue full: %d tasks wait or run, at most %d may; try again later", live+len(accepted), d.cfg.MaxLive)
			continue
		default:
			s.refuse(codes.ResourceExhausted, "queue full: payloads of %d bytes wait or run, at most %d may; try again later", liveBytes+bytes, d.cfg.MaxLiveBytes)
			continue
		}
		bytes += size
		accepted = append(accepted, s)
	}
	d.reserved += len(accepted)
	d.reservedB += bytes
	return accepted, bytes, nil
}

// knownTypes lists the known types for an error message.
func (d *Dispatcher) knownTypes() string {
	const most = 20
	types := d.machine.KnownTypes()
	if len(types) == 0 {
		return "none yet"
	}
	if len(types) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(types[:most], ", "), len(types)-most)
	}
	return strings.Join(types, ", ")
}

// decide takes what the machine made of the submission.
func (s *submission) decide(r core.Submitted) {
	if r.Task == nil {
		s.refuse(codes.AlreadyExists, "idempotency_key: %q: belongs to task %d, which asks for something else", s.spec.Key, r.Other)
		return
	}
	s.task = r.Task
	s.result = &s.accepted
	s.result.Id, s.result.Duplicate = r.Task.ID, r.Duplicate
}

// retrySpec returns the task to submit when t is tried anew.
func retrySpec(t *core.Task, requestID string) core.Spec {
	again := *t.Spec
	again.Key, again.RequestID, again.RetryOf = "", requestID, t.ID
	return again
}

// errUnknownTask says that there is no such task.
func errUnknownTask(id uint64) *pb.TaskError {
	return taskError(codes.NotFound, "id: %d: no such task, or it is forgotten", id)
}
