package virtual

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

// A task as its callers see it is a register with four operations: submit (under a key), get, wait, cancel. This file is
// the sequential specification of it and what records a history; Porcupine looks for an order of the operations that
// the specification allows and that keeps "ended before the other began".

// verb is an operation on a task.
type verb string

const (
	submitVerb verb = "submit"
	getVerb    verb = "get"
	waitVerb   verb = "wait"
	cancelVerb verb = "cancel"
)

// action is what a client asked for.
type action struct {
	verb verb
	key  string // of the task
}

// answer is what it was told.
type answer struct {
	unknown   bool   // it was told nothing: the operation was carried out, or not, or will be
	id        uint64 // of a submit
	duplicate bool   // of a submit
	missing   bool   // there is no such task
	refused   bool   // of a cancel: the task has ended
	steps     string // of a get and a wait: the history of the task; see stepsOf
}

// String says it in a line.
func (a answer) String() string {
	switch {
	case a.unknown:
		return "not known"
	case a.missing:
		return "not found"
	case a.refused:
		return "refused"
	case a.id != 0:
		return fmt.Sprintf("id %d, duplicate %t", a.id, a.duplicate)
	case a.steps == "":
		return "done"
	}
	return strings.ReplaceAll(strings.TrimSpace(a.steps), "\n", ", ")
}

// stepsOf writes a task's history such that a longer one begins with all shorter ones.
func stepsOf(t *pb.Task) string {
	var b strings.Builder
	for _, s := range t.History {
		fmt.Fprintf(&b, "%d %v %d %s\n", s.Time.AsTime().UnixNano(), core.State(s.To), s.Attempt, s.WorkerId)
	}
	return b.String()
}

// endOf returns the terminal state in which steps end, or nothing.
func endOf(steps string) string {
	lines := strings.Split(strings.TrimSpace(steps), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	for _, end := range []core.State{core.Completed, core.Failed, core.Cancelled} {
		if len(fields) > 1 && fields[1] == end.String() {
			return fields[1]
		}
	}
	return ""
}

// register is what the operations so far say of a task. The grid moves it on by itself at any time, but only ahead: a
// history that was seen stays the beginning of every later one.
type register struct {
	exists bool
	id     uint64 // 0: nobody was told
	steps  string // the longest that was seen
	asked  bool   // somebody asked to cancel it
	cancel bool   // it is CANCELLED
	ended  bool   // it is in a terminal state
}

// taskModel is the specification of one task.
var taskModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(action).key
			byKey[key] = append(byKey[key], op)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return register{} },
	Step: func(state, input, output any) (bool, any) {
		r, in, out := state.(register), input.(action), output.(answer)
		switch in.verb {
		case submitVerb:
			return r.submit(out)
		case cancelVerb:
			return r.cancelled(out)
		default:
			return r.read(in.verb, out)
		}
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%s: %v", input.(action).verb, output.(answer))
	},
}

func (r register) submit(out answer) (bool, any) {
	known := r.exists
	r.exists = true
	if out.unknown {
		return true, r
	}
	if out.duplicate != known || r.id != 0 && r.id != out.id {
		return false, r
	}
	r.id = out.id
	return true, r
}

// cancelled: one caller cancels a task; whoever comes later is told that it has ended.
func (r register) cancelled(out answer) (bool, any) {
	switch {
	case out.unknown:
		r.asked = true
		return true, r
	case out.missing:
		return !r.exists, r
	case out.refused:
		r.ended = true
		return r.exists, r
	}
	ok := r.exists && !r.ended
	r.asked, r.cancel, r.ended = true, true, true
	return ok, r
}

func (r register) read(v verb, out answer) (bool, any) {
	if out.missing {
		return !r.exists, r
	}
	end, cancelled := endOf(out.steps), core.Cancelled.String()
	ok := r.exists && strings.HasPrefix(out.steps, r.steps) &&
		(endOf(r.steps) == "" || out.steps == r.steps) && // an end is the end
		(!r.ended || end != "") && (!r.cancel || end == cancelled) && (end != cancelled || r.asked) &&
		(v != waitVerb || end != "")
	r.steps, r.ended = out.steps, r.ended || end != ""
	return ok, r
}

// chronicle records operations. Its clock counts: virtual time stands still while much happens.
type chronicle struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// begin returns the time at which an operation begins.
func (c *chronicle) begin() int64 { return c.clock.Add(1) }

// end records an operation that has just ended. One whose fate is not known has not.
func (c *chronicle) end(client int, began int64, in action, out answer) {
	ended := c.clock.Add(1)
	if out.unknown {
		ended = math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ops = append(c.ops, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: ended})
}

// operations returns what was recorded.
func (c *chronicle) operations() []porcupine.Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ops)
}

// check returns an error that shows the operations on a task up to the first that leaves them without an order.
func (c *chronicle) check() error {
	for _, ops := range taskModel.Partition(c.operations()) {
		if ops = thinned(ops); !ordered(ops) {
			n := sort.Search(len(ops), func(i int) bool { return !ordered(until(ops, i)) })
			return fmt.Errorf("the last of these leaves them without an order:%s", listed(until(ops, n)))
		}
	}
	return nil
}

// thinned leaves out all but the first of the submits of which nothing is known, and of the cancels. It can be put
// wherever a later one can, and what one of them does, two do not do more. With all of them there would be too many orders
// to try.
func thinned(ops []porcupine.Operation) []porcupine.Operation {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	seen := map[verb]bool{}
	return slices.DeleteFunc(ops, func(op porcupine.Operation) bool {
		if !op.Output.(answer).unknown {
			return false
		}
		v := op.Input.(action).verb
		again := seen[v]
		seen[v] = true
		return again
	})
}

// ordered tells whether operations on one task have an order.
func ordered(ops []porcupine.Operation) bool {
	return porcupine.CheckOperationsTimeout(taskModel, ops, time.Minute) == porcupine.Ok
}

// until returns the operations as they stood when the one with a number, in the order of the ends, had ended. Those that
// were under way then are left out if they only read, and their fate is not known otherwise.
func until(ops []porcupine.Operation, last int) (some []porcupine.Operation) {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for _, op := range ops {
		changes := op.Input.(action).verb == submitVerb || op.Input.(action).verb == cancelVerb
		switch {
		case op.Return <= ops[last].Return:
			some = append(some, op)
		case op.Call < ops[last].Return && changes:
			op.Output, op.Return = answer{unknown: true}, math.MaxInt64
			some = append(some, op)
		}
	}
	return thinned(some)
}

// listed writes operations in lines.
func listed(ops []porcupine.Operation) string {
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&b, "\n%d to %d, client %d: %s", op.Call, op.Return, op.ClientId, taskModel.DescribeOperation(op.Input, op.Output))
	}
	return b.String()
}

// inTurn makes a history of operations, each of which is over before the next begins.
func inTurn(steps ...any) (ops []porcupine.Operation) {
	for i := 0; i < len(steps); i += 2 {
		ops = append(ops, porcupine.Operation{Input: steps[i], Output: steps[i+1], Call: int64(2 * i), Return: int64(2*i + 1)})
	}
	return ops
}

func TestTheModelOfATaskRefusesWhatCannotBe(t *testing.T) {
	const queued, running = "1 CREATED 0 \n2 QUEUED 0 \n", "1 CREATED 0 \n2 QUEUED 0 \n3 PROCESSING 1 w\n"
	const completed, cancelled = running + "4 COMPLETED 1 w\n", running + "4 CANCELLED 1 \n"
	submit, get, wait, cancel := action{verb: submitVerb}, action{verb: getVerb}, action{verb: waitVerb}, action{verb: cancelVerb}
	made := []any{submit, answer{id: 1}}
	for _, c := range []struct {
		name    string
		history []any
		legal   bool
	}{
		{"a life", []any{get, answer{steps: queued}, get, answer{steps: running}, wait, answer{steps: completed}, cancel, answer{refused: true}, get, answer{steps: completed}}, true},
		{"a cancelled one", []any{get, answer{steps: queued}, cancel, answer{}, get, answer{steps: cancelled}, cancel, answer{refused: true}}, true},
		{"cancelled twice", []any{cancel, answer{}, cancel, answer{}}, false},
		{"cancelled with nobody told", []any{cancel, answer{unknown: true}, cancel, answer{refused: true}, get, answer{steps: cancelled}}, true},
		{"a read of the past", []any{get, answer{steps: running}, get, answer{steps: queued}}, false},
		{"running after the end", []any{wait, answer{steps: completed}, get, answer{steps: running}}, false},
		{"running after a cancel", []any{cancel, answer{}, get, answer{steps: running}}, false},
		{"completed after a cancel", []any{cancel, answer{}, get, answer{steps: completed}}, false},
		{"running after a refused cancel", []any{cancel, answer{refused: true}, get, answer{steps: running}}, false},
		{"cancelled by nobody", []any{get, answer{steps: cancelled}}, false},
		{"a cancel of a completed one", []any{get, answer{steps: completed}, cancel, answer{}}, false},
		{"a second end", []any{get, answer{steps: completed}, get, answer{steps: completed + "5 CANCELLED 1 \n"}}, false},
		{"not there", []any{get, answer{missing: true}}, false},
		{"another id", []any{submit, answer{id: 2, duplicate: true}}, false},
		{"made twice", []any{submit, answer{id: 1}}, false},
		{"the same again", []any{submit, answer{id: 1, duplicate: true}}, true},
		{"a wait that is over too early", []any{wait, answer{steps: running}}, false},
	} {
		if legal := porcupine.CheckOperations(taskModel, inTurn(append(made[:2:2], c.history...)...)); legal != c.legal {
			t.Errorf("%s: got %t, want %t", c.name, legal, c.legal)
		}
	}
}
