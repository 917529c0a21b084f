//go:build unix

package process

import (
	"fmt"
	"strings"
	"testing"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/grid"
)

// examples are the contract's table of the five workers.
var examples = []struct{ taskType, payload, want string }{
	{"reverse", "äöü€", "€üöä"},
	{"reverse", "a🙂b", "b🙂a"},
	{"reverse", "", ""},
	{"sum", "1,2,3", "6"},
	{"sum", "[0.1,0.2]", "0.3"},
	{"sum", "-5,5", "0"},
	{"sum", " 1 , 2 ", "3"},
	{"hash", "x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
	{"upper", "straße", "STRASSE"},
	{"wait", "0", "waited 0s"},
	{"wait", "250ms", "waited 250ms"},
	{"wait", "0.5", "waited 500ms"},
}

// badPayloads are those of the contract's table, with what the error has to name.
var badPayloads = []struct{ taskType, payload, reason string }{
	{"sum", "", "empty"},
	{"sum", "   ", "empty"},
	{"sum", "[]", "empty"},
	{"sum", "1,,3", "number 2 of 3: missing"},
	{"sum", "1,2,", "number 3 of 3: missing"},
	{"sum", "[1,2", "no closing bracket"},
	{"sum", "1,two", `"two"`},
	{"sum", `[1,"2"]`, "number 2 of 2: "},
	{"sum", "1,NaN", "NaN"},
	{"sum", "Inf,1", "Inf"},
	{"sum", "-Infinity", "-Infinity"},
	{"sum", "1e309", "1e309"},
	{"sum", "1,1e-309", "1e-309"},
	{"wait", "", "not a time to wait"},
	{"wait", "-1", "is negative"},
	{"wait", "-250ms", "-250ms"},
	{"wait", "soon", "soon"},
	{"wait", "NaN", "NaN"},
	{"wait", "3601", "3601"},
	{"wait", "61m", "61m"},
}

func TestTheExamplesOfTheContract(t *testing.T) {
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	g.Worker("all-1", "reverse,sum,hash,upper,wait")
	g.Connected("all-1")
	for _, e := range examples {
		out, said, code := g.Run("submit", "--wait", "--nameservice", g.NS, e.taskType, "--", e.payload)
		if out != e.want+"\n" || code != 0 {
			t.Errorf("submit %s %q --wait printed %q with exit code %d, want %q; %s", e.taskType, e.payload, out, code, e.want, said)
		}
	}
}

// TestABadPayloadFailsInWordsAndTheWorkerGoesOn reads the words as a person does: of one task of each type from submit,
// of all together from wait.
func TestABadPayloadFailsInWordsAndTheWorkerGoesOn(t *testing.T) {
	g := grid.New(t)
	g.Nameservice()
	g.Dispatcher()
	workers := map[string]*grid.Process{}
	for _, typ := range []string{"sum", "wait"} {
		workers[typ] = g.Worker(typ+"-1", typ)
	}
	g.Connected("sum-1", "wait-1")
	c := g.Client()
	good := map[string]string{"sum": "1,2,3", "wait": "0"}
	submitted := map[string]bool{} // by the verb, of each type
	failed := map[uint64]string{}  // what wait has to say of each task
	for _, b := range badPayloads {
		if !submitted[b.taskType] {
			submitted[b.taskType] = true
			_, said, code := g.Run("submit", "--wait", "--nameservice", g.NS, b.taskType, "--", b.payload)
			if code != 1 || !strings.Contains(said, "FAILED") || !strings.Contains(said, b.reason) {
				t.Errorf("submit %s %q --wait ended with %d and said %q, want 1, FAILED and %q", b.taskType, b.payload, code, said, b.reason)
			}
		}
		bad, err := c.Run(g.Context(), &pb.TaskSpec{Type: b.taskType, Payload: b.payload})
		if err != nil {
			t.Fatal(err)
		}
		if bad.State != pb.TaskState_TASK_STATE_FAILED || bad.Attempts != 1 {
			t.Errorf("%s %q is %v after %d attempts, want FAILED after 1", b.taskType, b.payload, bad.State, bad.Attempts)
		}
		failed[bad.Id] = b.reason
		next, err := c.Run(g.Context(), &pb.TaskSpec{Type: b.taskType, Payload: good[b.taskType]})
		if err != nil {
			t.Fatal(err)
		}
		if next.State != pb.TaskState_TASK_STATE_COMPLETED || next.WorkerId != bad.WorkerId {
			t.Errorf("after %s %q the next task is %v on %s, want COMPLETED on %s", b.taskType, b.payload, next.State, next.WorkerId, bad.WorkerId)
		}
	}
	ids := []string{}
	for id := range failed {
		ids = append(ids, fmt.Sprint(id))
	}
	_, said, code := g.Verb(append([]string{"wait"}, ids...)...)
	if code != 1 {
		t.Errorf("wait for tasks that failed ended with %d, want 1", code)
	}
	for id, reason := range failed {
		begin := fmt.Sprintf("task %d FAILED: ", id)
		_, words, _ := strings.Cut(said, begin)
		if words, _, _ = strings.Cut(words, "\n"); !strings.Contains(words, reason) {
			t.Errorf("wait said %q of task %d, want %q and %q; in all %q", words, id, begin, reason, said)
		}
	}
	for typ, p := range workers {
		if p.Gone() {
			t.Errorf("the worker of %s has died of it", typ)
		}
	}
}
