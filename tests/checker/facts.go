package checker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"taskgrid/dispatcher/core"
)

// Fact is one thing that was seen. String says it in words.
type Fact interface {
	fmt.Stringer
	at() time.Time
}

// Submitted is a submission that was acknowledged.
type Submitted struct {
	At             time.Time // when the client knew
	Key            string    // idempotency key; "" is none
	ID             uint64
	Type, Payload  string
	MaxAttempts    uint32        // 0: the grid's default
	AttemptTimeout time.Duration // 0: the grid's default
	Duplicate      bool          // the grid said that it knew the key
}

// Told is what a client was told of a task.
type Told struct {
	Asked         time.Time // when the question was sent; zero: at At
	At            time.Time
	ID            uint64
	Missing       bool // there is no such task; the fields below are empty then
	Type, Payload string
	State         core.State
	Result, Error string
	Attempts      uint32 // that counted
	MaxAttempts   uint32 // 0: not said
	Redeliveries  uint32
	Worker        string // of the latest hand-over
}

// Step is one step of a task, from the event stream or from its history.
type Step struct {
	At             time.Time
	Seq            uint64 // number of the event; 0: it has none
	Task           uint64
	Type           string
	From, To       core.State
	Attempt        uint32 // number of the hand-over; 0: none yet
	Worker, Reason string
}

// Change is a change of a worker, from the event stream.
type Change struct {
	At                       time.Time
	Seq                      uint64 // number of the event; 0: it has none
	Worker, Aspect, From, To string // as in WorkerEvent
}

// Executed is what a handler returned, written down by the worker.
type Executed struct {
	At     time.Time
	Worker string
	Task   uint64
	Token  core.Token
	Result string
	Failed bool // it returned an error instead
}

// Listed is an answer of the name service: these workers may be given tasks.
type Listed struct {
	At      time.Time
	Active  []string
	Partial bool // it had just started: that a worker is not named means nothing yet
}

// Counted is what the dispatcher counts of a type, or with Type "" of all.
type Counted struct {
	At                                                                            time.Time
	Seq                                                                           uint64 // of the newest event it counts; 0: not known
	Type                                                                          string
	Submitted, Queued, Running, Retrying, Completed, Failed, Cancelled, Forgotten uint64
}

// Serves says that from now on a worker of the type and all that it needs are there, or are no longer.
type Serves struct {
	At   time.Time
	Type string
	Off  bool
}

func (f Submitted) at() time.Time { return f.At }
func (f Told) at() time.Time      { return f.At }
func (f Step) at() time.Time      { return f.At }
func (f Change) at() time.Time    { return f.At }
func (f Executed) at() time.Time  { return f.At }
func (f Listed) at() time.Time    { return f.At }
func (f Counted) at() time.Time   { return f.At }
func (f Serves) at() time.Time    { return f.At }

func (f Submitted) String() string {
	again := ""
	if f.Duplicate {
		again = ", as one that it knew"
	}
	return fmt.Sprintf("a client was told that %s %s, key %q, is task %d%s", f.Type, short(f.Payload), f.Key, f.ID, again)
}

func (f Told) String() string {
	if f.Missing {
		return fmt.Sprintf("a client was told that there is no task %d", f.ID)
	}
	text := fmt.Sprintf("a client was told that task %d is %s", f.ID, name(f.State))
	if f.State == core.Completed {
		text += " with " + short(f.Result)
	}
	if f.Error != "" {
		text += " because of " + short(f.Error)
	}
	return text + fmt.Sprintf(" on %q, after %d attempts of %d and %d redeliveries", f.Worker, f.Attempts, f.MaxAttempts, f.Redeliveries)
}

func (f Step) String() string {
	text := fmt.Sprintf("task %d: %s -> %v", f.Task, name(f.From), f.To)
	if f.Attempt != 0 {
		text += fmt.Sprintf(", hand-over %d to %s", f.Attempt, f.Worker)
	}
	if f.Reason != "" {
		text += ": " + short(f.Reason)
	}
	return event(f.Seq) + text
}

func (f Change) String() string {
	return event(f.Seq) + fmt.Sprintf("%s of worker %s: %q -> %q", f.Aspect, f.Worker, f.From, f.To)
}

func (f Executed) String() string {
	what := "returned"
	if f.Failed {
		what = "failed with"
	}
	return fmt.Sprintf("worker %s %s %s for task %d, hand-over %d of term %d", f.Worker, what, short(f.Result), f.Task, f.Token.Number(), f.Token.Term())
}

func (f Listed) String() string {
	return fmt.Sprintf("the name service named as ACTIVE: [%s]", strings.Join(slices.Sorted(slices.Values(f.Active)), " "))
}

func (f Counted) String() string {
	typ := f.Type
	if typ == "" {
		typ = "all types"
	}
	return fmt.Sprintf("the dispatcher counted, of %s at event %d: %d submitted; %d queued, %d running, %d retrying, %d completed, %d failed, %d cancelled, %d forgotten",
		typ, f.Seq, f.Submitted, f.Queued, f.Running, f.Retrying, f.Completed, f.Failed, f.Cancelled, f.Forgotten)
}

func (f Serves) String() string {
	if f.Off {
		return fmt.Sprintf("the grid serves %s no longer", f.Type)
	}
	return fmt.Sprintf("from here on the grid serves %s", f.Type)
}

func event(seq uint64) string {
	if seq == 0 {
		return ""
	}
	return fmt.Sprintf("event %d: ", seq)
}

func name(s core.State) string {
	if s == core.None {
		return "nothing"
	}
	return s.String()
}

// short quotes the beginning of a text.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%.*q… (%d bytes)", most, s, len(s))
	}
	return fmt.Sprintf("%q", s)
}
