// Package witness writes down what is seen of a grid through its contract, as facts for the checker: what clients are
// told, the event stream, the counts, the answers of the name service. It looks on from the outside, so it is the same
// for a grid in virtual time, for real processes and for containers.
package witness

import (
	"slices"
	"time"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/workers"
)

// Event returns an event of the stream as a fact.
func Event(e *pb.Event) checker.Fact {
	at := e.Time.AsTime()
	if step := e.GetTask(); step != nil {
		return checker.Step{At: at, Seq: e.Sequence, Task: step.Id, Type: step.Type, From: core.State(step.From), To: core.State(step.To),
			Attempt: step.Attempt, Worker: step.WorkerId, Reason: step.Reason}
	}
	change := e.GetWorker()
	return checker.Change{At: at, Seq: e.Sequence, Worker: change.GetWorkerId(), Aspect: change.GetAspect(), From: change.GetFrom(), To: change.GetTo()}
}

// Task returns as a fact that a client, which had asked at a time, was told of a task now.
func Task(asked time.Time, task *pb.Task) checker.Told {
	return checker.Told{Asked: asked, At: time.Now(), ID: task.Id, Type: task.Type, Payload: task.Payload, State: core.State(task.State),
		Result: task.GetResult(), Error: task.Error, Attempts: task.Attempts, MaxAttempts: task.MaxAttempts, Redeliveries: task.Redeliveries, Worker: task.WorkerId}
}

// Missing returns as a fact that a client was told now that there is no such task.
func Missing(asked time.Time, id uint64) checker.Told {
	return checker.Told{Asked: asked, At: time.Now(), ID: id, Missing: true}
}

// Accepted returns as a fact that a client was told now that a task was accepted.
func Accepted(spec *pb.TaskSpec, id uint64, duplicate bool) checker.Submitted {
	return checker.Submitted{At: time.Now(), Key: spec.IdempotencyKey, ID: id, Type: spec.Type, Payload: spec.Payload,
		MaxAttempts: spec.MaxAttempts, AttemptTimeout: spec.AttemptTimeout.AsDuration(), Duplicate: duplicate}
}

// Counts returns what the dispatcher counts, of all types together and of each, as facts.
func Counts(status *pb.DispatcherGetStatusResponse) []checker.Fact {
	var facts []checker.Fact
	for _, st := range append([]*pb.TypeStatus{{Tasks: status.Tasks}}, status.Types...) {
		n := st.Tasks
		facts = append(facts, checker.Counted{At: time.Now(), Seq: status.LastEvent, Type: st.Type, Submitted: n.Submitted, Queued: n.Queued, Running: n.Running,
			Retrying: n.Retrying, Completed: n.Completed, Failed: n.Failed, Cancelled: n.Cancelled, Forgotten: n.Forgotten})
	}
	return facts
}

// Listed returns an answer of the name service about all workers as a fact.
func Listed(answer *pb.LookupWorkersResponse) checker.Listed {
	listed := checker.Listed{At: time.Now(), Partial: !answer.Settled}
	for _, w := range answer.Workers {
		if w.State == pb.WorkerState_WORKER_STATE_ACTIVE {
			listed.Active = append(listed.Active, w.WorkerId)
		}
	}
	slices.Sort(listed.Active)
	return listed
}

// Executed returns as a fact that a handler is about to return something: a result, or with failed an error.
func Executed(worker string, attempt workers.Key, result string, failed bool) checker.Executed {
	return checker.Executed{At: time.Now(), Worker: worker, Task: attempt.Task, Token: core.Token(attempt.Attempt), Result: result, Failed: failed}
}
