package core

import (
	"fmt"
	"time"
)

// State is where a task stands. The numbers are those of the proto and of the journal.
type State uint8

// The states; proto/taskgrid/v1/task.proto says what each one means.
const (
	None State = iota
	Created
	Queued
	Dispatched
	Processing
	Timeout
	Retrying
	Completed
	Failed
	Cancelled
	states // how many there are
)

var stateNames = [states]string{
	"", "CREATED", "QUEUED", "DISPATCHED", "PROCESSING", "TIMEOUT", "RETRYING", "COMPLETED", "FAILED", "CANCELLED",
}

// String returns the state's name, such as "QUEUED".
func (s State) String() string {
	if s >= states {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return stateNames[s]
}

// Terminal tells whether a task in this state never changes again.
func (s State) Terminal() bool { return s == Completed || s == Failed || s == Cancelled }

// Running tells whether an attempt is with a worker.
func (s State) Running() bool { return s == Dispatched || s == Processing }

// Transition is a legal step and what makes a task take it.
type Transition struct {
	From, To State
	Cause    string
}

// Transitions is the whole table of legal steps. A step that is not here is a bug, and apply panics on it.
// docs/states.md draws it; a test holds the two together.
var Transitions = []Transition{
	{None, Created, "accepted"},
	{Created, Queued, "at once"},
	{Queued, Dispatched, "handed over"},
	{Queued, Failed, "queue timeout"},
	{Dispatched, Processing, "handler began"},
	{Dispatched, Queued, "refused for capacity"},
	{Dispatched, Timeout, "deadline passed"},
	{Dispatched, Retrying, "worker lost"},
	{Dispatched, Failed, "worker lost too often"},
	{Processing, Completed, "result"},
	{Processing, Failed, "permanent error, or attempts spent"},
	{Processing, Timeout, "deadline passed"},
	{Processing, Retrying, "retryable error, or worker lost"},
	{Timeout, Retrying, "attempts left"},
	{Timeout, Failed, "attempts spent"},
	{Retrying, Queued, "backoff over"},
	{Created, Cancelled, "cancelled"},
	{Queued, Cancelled, "cancelled"},
	{Dispatched, Cancelled, "cancelled"},
	{Processing, Cancelled, "cancelled"},
	{Retrying, Cancelled, "cancelled"},
}

// legal is Transitions as a matrix.
var legal = func() (m [states][states]bool) {
	for _, t := range Transitions {
		m[t.From][t.To] = true
	}
	return m
}()

// Legal tells whether the table has the step.
func Legal(from, to State) bool { return from < states && to < states && legal[from][to] }

// Instant is a moment on the leader's clock, in microseconds since 1970. 0: never.
type Instant int64

// At returns t as an Instant.
func At(t time.Time) Instant { return Instant(t.UnixMicro()) }

// Time returns i as a time; the zero time for 0.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i))
}

// Token fences an attempt: an answer counts only while it bears the token of the attempt that is current. The upper 32
// bits are the raft term of the leader that handed over, the lower 32 the count of the task's hand-overs. No two durable
// hand-overs of a task bear the same one: a leader counts on from what is applied, another leader has another term, and
// one that leads twice in a term leaves out the numbers that may have been lost in between (Config.Again).
// One that did not become durable may share its token with the next, when the same leader begins anew in the same term;
// so an answer must also come from the worker that the attempt was handed to.
type Token uint64

// NewToken returns the token of the n-th hand-over, made by the leader of the term.
func NewToken(term uint64, n uint32) Token { return Token(term<<32 | uint64(n)) }

// Number returns which hand-over of its task it was, counted from 1. 0: none yet.
func (t Token) Number() uint32 { return uint32(t) }

// Term returns the raft term of the leader that handed over.
func (t Token) Term() uint64 { return uint64(t) >> 32 }

// Label is a word to find a task by.
type Label struct{ Key, Value string }

// Spec is what a caller asked for. It never changes and is shared by all versions of its task.
type Spec struct {
	Type           string
	Payload        string
	Key            string // idempotency key; "" is none
	RequestID      string
	Labels         []Label // in the order of the key
	AttemptTimeout time.Duration
	QueueTimeout   time.Duration // 0: for ever
	RetryOf        uint64        // 0: none
	MaxAttempts    uint32
	Priority       int32
}

// Task is one version of a task. It is never changed when the record that made it is applied: each record makes a new
// version, so that a reader may keep one as long as it likes, without a lock.
type Task struct {
	*Spec
	ID           uint64
	Order        uint64 // the place in its queue: the sequence number of the event that queued it
	Attempt      Token  // of the latest hand-over
	WorkerID     string // of the latest hand-over
	LeaseID      string // of the latest hand-over
	Result       string // when Completed
	Error        string // why the last attempt ended without a result, or why the task was cancelled
	Created      Instant
	QueuedAt     Instant // latest
	DispatchedAt Instant // latest
	Ended        Instant // when it became terminal
	RetryAt      Instant // when Retrying
	Duration     time.Duration
	steps        []Step // all but the first two, which follow from Created; see History
	dropped      uint32 // steps left out
	Attempts     uint16 // that count against MaxAttempts
	Redeliveries uint16
	State        State
}

// Step is one step in a task's history.
type Step struct {
	At       Instant
	WorkerID string
	Reason   string
	Attempt  uint32 // number of the hand-over; 0: none yet
	From, To State
}

// A history keeps its first eight and its newest 120 steps: how a task began and how it stands is what people ask for.
// The first two, which follow from Created, are not stored.
const (
	keepFirst  = 8 - 2
	keepNewest = 120
	usualSteps = 3 // of a task whose first attempt succeeds
)

// History returns the steps that are kept, oldest first.
func (t *Task) History() []Step {
	first := []Step{{At: t.Created, From: None, To: Created}, {At: t.Created, From: Created, To: Queued}}
	return append(first, t.steps...)
}

// HistoryDropped returns how many steps History leaves out.
func (t *Task) HistoryDropped() uint32 { return t.dropped }

// size is what the task's texts take, in bytes; the bounds on memory count it.
func (t *Task) size() int64 {
	return int64(len(t.Payload) + len(t.Result) + len(t.Error))
}

// step returns the next version: in state to, with the step in its history. The caller sets what else changes before
// the version is stored. Older versions share the history's memory, of which each sees only its own length.
func (t *Task) step(to State, at Instant, reason string) *Task {
	next := *t
	next.advance(to, at, reason)
	return &next
}

// advance is step for a version that nobody else can have kept: it becomes the next one itself.
func (t *Task) advance(to State, at Instant, reason string) {
	from := t.State
	if !Legal(from, to) {
		panic(fmt.Sprintf("core: task %d: illegal step %v -> %v", t.ID, from, to))
	}
	t.State = to
	if from == None || from == Created && to == Queued {
		return
	}
	s := Step{At: at, From: from, To: to, Attempt: t.Attempt.Number(), WorkerID: t.WorkerID, Reason: reason}
	if len(t.steps) >= keepFirst+keepNewest {
		kept := make([]Step, 0, keepFirst+keepNewest+1)
		kept = append(append(kept, t.steps[:keepFirst]...), t.steps[keepFirst+1:]...)
		t.steps = append(kept, s)
		t.dropped++
		return
	}
	if t.steps == nil {
		t.steps = make([]Step, 0, usualSteps)
	}
	t.steps = append(t.steps, s)
}
