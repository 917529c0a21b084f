package core

import "time"

// A record is one entry of the journal: what the leader decided, with the time it was decided and everything else that
// apply must not look up for itself. Applying the same records in the same order gives the same state everywhere.
type record interface{ kind() kind }

// kind is a record's first byte. The numbers are the journal's format: never reuse one.
type kind uint8

const (
	kindSubmit   kind = 1
	kindDispatch kind = 2
	kindStart    kind = 3
	kindEnd      kind = 4
	kindRequeue  kind = 5
	kindExpire   kind = 6
	kindCancel   kind = 7
	kindType     kind = 8
	kindWorker   kind = 9
	kindForget   kind = 10
)

// Submit makes a task.
type Submit struct {
	At   Instant
	Spec *Spec
}

// Dispatch says that an attempt of a task was handed to a worker.
type Dispatch struct {
	At       Instant
	Task     uint64
	Token    Token
	WorkerID string
	LeaseID  string
}

// Start says that the worker began the attempt.
type Start struct {
	At    Instant
	Task  uint64
	Token Token
}

// End says how an attempt ended. Apply makes of it what the task's counts allow.
type End struct {
	At       Instant
	Task     uint64
	Token    Token
	Duration time.Duration // since the hand-over, on the leader's monotonic clock
	How      Ending
	Text     string  // the result, or why there is none
	RetryAt  Instant // if the task is to be tried again: when
}

// Ending is how an attempt ended. The numbers are the journal's format.
type Ending uint8

// The endings.
const (
	EndResult         Ending = 1 // the handler returned a result
	EndInvalidPayload Ending = 2 // the payload is wrong: no other attempt will go better
	EndRetryable      Ending = 3 // the handler failed and may do better: spends an attempt
	EndPermanent      Ending = 4 // the handler failed for good
	EndTimeout        Ending = 5 // the deadline passed: spends an attempt
	EndLost           Ending = 6 // the worker is lost: a redelivery
	EndRefused        Ending = 7 // handed back: free if it had not begun, a redelivery if it had
)

// began tells whether an attempt that ended like this had begun: only its handler ends it so.
func (e Ending) began() bool { return e <= EndPermanent }

// Requeue puts a task whose backoff is over into its queue.
type Requeue struct {
	At    Instant
	Task  uint64
	Token Token // of the attempt whose backoff it was
}

// Expire fails a task that waited longer than its queue timeout.
type Expire struct {
	At   Instant
	Task uint64
}

// Cancel ends a task.
type Cancel struct {
	At     Instant
	Task   uint64
	Reason string
}

// KnownType says that a worker has registered a type: tasks of it are accepted from now on.
type KnownType struct{ Type string }

// WorkerChange goes into the events, so that everybody sees it in its place among them. It changes nothing else.
type WorkerChange struct {
	At            Instant
	WorkerID      string
	Aspect        string
	Before, After string
	Reason        string
}

// Forget lets go of the tasks that became terminal longest ago.
type Forget struct{ Count uint64 }

func (*Submit) kind() kind       { return kindSubmit }
func (*Dispatch) kind() kind     { return kindDispatch }
func (*Start) kind() kind        { return kindStart }
func (*End) kind() kind          { return kindEnd }
func (*Requeue) kind() kind      { return kindRequeue }
func (*Expire) kind() kind       { return kindExpire }
func (*Cancel) kind() kind       { return kindCancel }
func (*KnownType) kind() kind    { return kindType }
func (*WorkerChange) kind() kind { return kindWorker }
func (*Forget) kind() kind       { return kindForget }
