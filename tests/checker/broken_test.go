package checker_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"taskgrid/dispatcher/core"
	"taskgrid/tests/checker"
)

// s is a moment, in seconds after some moment.
func s(seconds float64) time.Time {
	return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// limits of the hand-made histories: four attempts of a second with pauses of a second, a second of slack; 9 s in all.
var limits = checker.Limits{MaxAttempts: 4, AttemptTimeout: time.Second, Pause: time.Second, Slack: time.Second}

func submitted(at float64, id uint64, key string) checker.Submitted {
	return checker.Submitted{At: s(at), ID: id, Key: key, Type: "hash", Payload: "x"}
}

func told(at float64, id uint64, state core.State, result string) checker.Told {
	return checker.Told{At: s(at), ID: id, Type: "hash", Payload: "x", State: state, Result: result, Attempts: 1, MaxAttempts: 4, Worker: "w1"}
}

// step is a step of task 1, or of another one with of.
func step(at float64, from, to core.State, attempt uint32, worker string) checker.Step {
	return checker.Step{At: s(at), Task: 1, Type: "hash", From: from, To: to, Attempt: attempt, Worker: worker}
}

func of(id uint64, f checker.Step) checker.Step { f.Task = id; return f }

func seq(n uint64, f checker.Step) checker.Step { f.Seq = n; return f }

func executed(at float64, worker string, token core.Token, result string) checker.Executed {
	return checker.Executed{At: s(at), Worker: worker, Task: 1, Token: token, Result: result}
}

// created is task 1 until it waits, running until its first hand-over to w1 began, completed until its end.
var (
	created = []checker.Fact{step(0, core.None, core.Created, 0, ""), step(0, core.Created, core.Queued, 0, "")}
	running = append(slices.Clone(created), step(1, core.Queued, core.Dispatched, 1, "w1"), step(1, core.Dispatched, core.Processing, 1, "w1"))
	done    = step(2, core.Processing, core.Completed, 1, "w1")
	ended   = append(slices.Clone(running), done)
	// again is task 1 after it was lost with w1, handed to w2.
	again = append(slices.Clone(running), step(2, core.Processing, core.Retrying, 1, "w1"), step(3, core.Retrying, core.Queued, 1, "w1"),
		step(4, core.Queued, core.Dispatched, 2, "w2"), step(4, core.Dispatched, core.Processing, 2, "w2"))
)

func then(facts []checker.Fact, more ...checker.Fact) []checker.Fact {
	return append(slices.Clone(facts), more...)
}

// timeouts is task 1 with n attempts that timed out.
func timeouts(n uint32) []checker.Fact {
	facts := then([]checker.Fact{submitted(0, 1, "k")}, created...)
	for i := uint32(1); i <= n; i++ {
		facts = append(facts, step(0, core.Queued, core.Dispatched, i, "w1"), step(0, core.Dispatched, core.Timeout, i, "w1"),
			step(0, core.Timeout, core.Retrying, i, "w1"), step(0, core.Retrying, core.Queued, i, "w1"))
	}
	return facts
}

// token1 is the token of the first hand-over.
var token1 = core.NewToken(7, 1)

// broken has, for each way to break a rule, a history that does, the facts that show it (by their places), and the same
// history mended.
var broken = []struct {
	name   string
	rule   checker.Rule
	facts  []checker.Fact
	shown  []int
	mended []checker.Fact
}{
	{"an event is missing", checker.Stream,
		[]checker.Fact{seq(1, created[0].(checker.Step)), seq(3, created[1].(checker.Step))}, []int{0, 1},
		[]checker.Fact{seq(1, created[0].(checker.Step)), seq(2, created[1].(checker.Step))}},
	{"an event comes twice", checker.Stream,
		[]checker.Fact{checker.Change{Seq: 1, Aspect: "stream", Worker: "w1", To: "connected"}, checker.Change{Seq: 1, Aspect: "stream", Worker: "w1", To: "connected"}}, []int{0, 1},
		[]checker.Fact{checker.Change{Seq: 1, Aspect: "stream", Worker: "w1", To: "connected"}, checker.Change{Seq: 2, Aspect: "stream", Worker: "w1", To: "connected"}}},
	{"the first events are missing", checker.Stream, []checker.Fact{checker.Change{Seq: 2}}, []int{0}, []checker.Fact{checker.Change{Seq: 1}}},
	{"a task is done without having been handed over", checker.Legal,
		then(created, step(1, core.Queued, core.Completed, 0, "")), []int{2}, ended},
	{"a step begins elsewhere", checker.Legal,
		then(created, step(1, core.Dispatched, core.Processing, 1, "w1")), []int{1, 2}, running},
	{"a step of a task that nobody accepted", checker.Legal, []checker.Fact{step(1, core.Queued, core.Cancelled, 0, "")}, []int{0}, created},
	{"a task ends twice", checker.Once,
		then(ended, step(3, core.Processing, core.Failed, 1, "w1")), []int{4, 5}, ended},
	{"COMPLETED is overwritten by PROCESSING", checker.Immutable,
		then(ended, step(3, core.Dispatched, core.Processing, 1, "w1")), []int{4, 5}, ended},
	{"two clients are told different results", checker.Immutable,
		[]checker.Fact{told(3, 1, core.Completed, "a"), told(4, 1, core.Completed, "b")}, []int{0, 1},
		[]checker.Fact{told(3, 1, core.Completed, "a"), told(4, 1, core.Completed, "a")}},
	{"a client is told the end, and then that it runs", checker.Immutable,
		[]checker.Fact{told(3, 1, core.Completed, "a"), told(4, 1, core.Processing, "")}, []int{0, 1},
		[]checker.Fact{told(3, 1, core.Completed, "a"), checker.Told{Asked: s(2), At: s(4), ID: 1, Type: "hash", State: core.Processing}}},
	{"a client is told another end than the events", checker.Immutable,
		then(ended, told(3, 1, core.Failed, "")), []int{4, 5}, then(ended, told(3, 1, core.Completed, ""))},
	{"a token is used again", checker.Token,
		then(running, step(2, core.Processing, core.Retrying, 1, "w1"), step(3, core.Retrying, core.Queued, 1, "w1"), step(4, core.Queued, core.Dispatched, 1, "w2")), []int{2, 6}, again},
	{"the outcome of an old attempt counts", checker.Result,
		then(again, step(5, core.Processing, core.Completed, 1, "w1")), []int{6, 8}, then(again, step(5, core.Processing, core.Completed, 2, "w2"))},
	{"nobody returned the result", checker.Result,
		then(ended, executed(2, "w1", token1, "a"), told(3, 1, core.Completed, "b")), []int{2, 5, 6},
		then(ended, executed(2, "w1", token1, "b"), told(3, 1, core.Completed, "b"))},
	{"another worker returned the result", checker.Result,
		then(ended, executed(2, "w2", token1, "b"), told(3, 1, core.Completed, "b")), []int{2, 6},
		then(ended, executed(2, "w2", token1, "b"), executed(2, "w1", token1, "b"), told(3, 1, core.Completed, "b"))},
	{"an error is taken for a result", checker.Result,
		then(ended, checker.Executed{Worker: "w1", Task: 1, Token: token1, Failed: true, Result: "b"}, told(3, 1, core.Completed, "b")), []int{2, 5, 6},
		then(ended, executed(2, "w1", token1, "b"), told(3, 1, core.Completed, "b"))},
	{"nobody executed what is COMPLETED", checker.Result,
		then(ended, executed(2, "w1", core.NewToken(7, 3), "b")), []int{2, 4}, then(ended, executed(2, "w1", token1, "b"))},
	{"an accepted task is gone", checker.Kept,
		[]checker.Fact{submitted(0, 1, "k"), checker.Told{At: s(1), ID: 1, Missing: true}}, []int{0, 1},
		[]checker.Fact{submitted(0, 1, "k"), checker.Told{Asked: s(-1), At: s(1), ID: 1, Missing: true}}},
	{"an accepted task leaves no trace", checker.Kept,
		then(created, submitted(1, 2, "k")), []int{2}, then(created, submitted(1, 1, "k"))},
	{"an id is another task after a restart", checker.Kept,
		[]checker.Fact{submitted(0, 1, "k"), checker.Told{At: s(1), ID: 1, Type: "hash", Payload: "y"}}, []int{0, 1},
		[]checker.Fact{submitted(0, 1, "k"), checker.Told{At: s(1), ID: 1, Type: "hash", Payload: "x"}}},
	{"a key gives two ids", checker.Key,
		[]checker.Fact{submitted(0, 1, "k"), submitted(1, 2, "k")}, []int{0, 1}, []checker.Fact{submitted(0, 1, "k"), submitted(1, 1, "k")}},
	{"an id is acknowledged for two submissions", checker.IDs,
		[]checker.Fact{submitted(0, 1, "k"), submitted(1, 1, "l")}, []int{0, 1}, []checker.Fact{submitted(0, 1, "k"), submitted(1, 2, "l")}},
	{"an id without a key is acknowledged twice", checker.IDs,
		[]checker.Fact{submitted(0, 1, ""), submitted(1, 1, "")}, []int{0, 1}, []checker.Fact{submitted(0, 1, ""), submitted(1, 2, "")}},
	{"ids begin anew after a restart", checker.IDs,
		then(running, created[0]), []int{0, 4}, then(running, of(2, created[0].(checker.Step)))},
	{"a task is tried too often", checker.Attempts,
		[]checker.Fact{checker.Told{ID: 1, State: core.Processing, Attempts: 5, MaxAttempts: 4}}, []int{0},
		[]checker.Fact{checker.Told{ID: 1, State: core.Processing, Attempts: 4, MaxAttempts: 4}}},
	{"a task is redelivered without end", checker.Attempts,
		[]checker.Fact{checker.Told{ID: 1, State: core.Processing, Redeliveries: core.MaxRedeliveries + 1}}, []int{0},
		[]checker.Fact{checker.Told{ID: 1, State: core.Processing, Redeliveries: core.MaxRedeliveries}}},
	{"a task times out too often", checker.Attempts, timeouts(5), []int{4, 8, 12, 16, 20}, timeouts(4)},
	{"a task goes to a worker that the name service never named", checker.Named,
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w2"}}}, running...), []int{3},
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w2", "w1"}}}, running...)},
	{"a task goes to a worker that the name service has given up", checker.Named,
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w1"}}, checker.Listed{At: s(0.5)}}, running...), []int{1, 4},
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w1"}}, checker.Listed{At: s(1.5)}}, running...)},
	{"a task goes to a worker that a name service which has just started did not name", checker.Named,
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w2"}, Partial: true}}, running...), []int{3},
		then([]checker.Fact{checker.Listed{At: s(0), Active: []string{"w1"}, Partial: true}, checker.Listed{At: s(0.5), Partial: true}}, running...)},
	{"a task goes to a worker that drains", checker.Named,
		then([]checker.Fact{checker.Change{Worker: "w1", Aspect: "state", From: "ACTIVE", To: "DRAINING"}}, running...), []int{0, 3},
		then([]checker.Fact{checker.Change{Worker: "w1", Aspect: "state", To: "ACTIVE"}}, running...)},
	{"a task is in no count", checker.Conserved,
		[]checker.Fact{checker.Counted{Submitted: 3, Queued: 1, Completed: 1}}, []int{0}, []checker.Fact{checker.Counted{Submitted: 3, Queued: 1, Completed: 1, Forgotten: 1}}},
	{"the count of submissions falls", checker.Conserved,
		[]checker.Fact{checker.Counted{Submitted: 3, Queued: 3}, checker.Counted{Submitted: 2, Queued: 2}}, []int{0, 1},
		[]checker.Fact{checker.Counted{Submitted: 2, Queued: 2}, checker.Counted{Submitted: 3, Queued: 3}}},
	{"a task is in the wrong count", checker.Conserved,
		[]checker.Fact{seq(1, created[0].(checker.Step)), seq(2, created[1].(checker.Step)), checker.Counted{Seq: 2, Submitted: 1, Running: 1}}, []int{2},
		[]checker.Fact{seq(1, created[0].(checker.Step)), seq(2, created[1].(checker.Step)), checker.Counted{Seq: 2, Submitted: 1, Queued: 1}}},
	{"a task waits, and a worker is there", checker.Ends,
		then(created, checker.Serves{At: s(2), Type: "hash"}, checker.Serves{At: s(11.5), Type: "hash", Off: true}), []int{0, 1, 2},
		then(created, checker.Serves{At: s(2), Type: "hash"}, checker.Serves{At: s(10.5), Type: "hash", Off: true})},
	{"a task runs for ever", checker.Ends,
		then([]checker.Fact{checker.Serves{At: s(-1), Type: "hash"}}, running...), []int{0, 1, 4},
		then([]checker.Fact{checker.Serves{At: s(-1), Type: "hash"}}, ended...)},
	{"a task ends too late", checker.Ends,
		then([]checker.Fact{checker.Serves{At: s(-1), Type: "hash"}}, then(running, step(10, core.Processing, core.Completed, 1, "w1"))...), []int{0, 1, 5},
		then([]checker.Fact{checker.Serves{At: s(-1), Type: "upper"}}, then(running, step(10, core.Processing, core.Completed, 1, "w1"))...)},
}

// judged returns what is wrong with a history that ends after 100 s.
func judged(facts []checker.Fact) *checker.Judge {
	j := checker.New(limits)
	for _, f := range facts {
		j.Add(f)
	}
	j.Conclude(s(100))
	return j
}

// others are tasks that have nothing to do with the one that the histories are about.
func others() []checker.Fact {
	var facts []checker.Fact
	for id := uint64(1000); id < 1003; id++ {
		for _, f := range ended {
			facts = append(facts, of(id, f.(checker.Step)))
		}
	}
	return facts
}

func TestEachRuleIsBrokenByAHistory(t *testing.T) {
	seen := map[checker.Rule]bool{}
	for _, b := range broken {
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			seen[b.rule] = true
			for _, v := range judged(b.mended).Violations() {
				t.Errorf("the mended history breaks a rule:\n%v", v)
			}
			violations := judged(b.facts).Violations()
			if len(violations) != 1 || violations[0].Rule != b.rule {
				t.Fatalf("got %v, want that %q is broken, once", violations, b.rule)
			}
			var want []checker.Fact
			for _, i := range b.shown {
				want = append(want, b.facts[i])
			}
			if got := violations[0].Shown; !reflect.DeepEqual(got, want) {
				t.Errorf("shown by\n%v\nwant\n%v", got, want)
			}
		})
	}
	for _, rule := range []checker.Rule{checker.Stream, checker.Legal, checker.Once, checker.Immutable, checker.Token, checker.Result, checker.Kept,
		checker.Key, checker.IDs, checker.Attempts, checker.Named, checker.Conserved, checker.Ends} {
		if !seen[rule] {
			t.Errorf("no history breaks %q", rule)
		}
	}
}

// The table's picture of legal steps is core's, so that a step that core allows can never be called a violation.
func TestTheLegalStepsAreThoseOfTheTable(t *testing.T) {
	for from := core.None; from <= core.Cancelled; from++ {
		for to := core.Created; to <= core.Cancelled; to++ {
			j := checker.New(limits)
			j.Add(step(0, from, to, 1, "w1"))
			illegal := slices.ContainsFunc(j.Violations(), func(v *checker.Violation) bool { return strings.Contains(v.Why, "the table does not have") })
			if illegal == core.Legal(from, to) {
				t.Errorf("%v -> %v: called illegal: %t; the table has it: %t", from, to, illegal, core.Legal(from, to))
			}
		}
	}
}

func TestTheVerdictIsTheShortestOfSeveralViolations(t *testing.T) {
	facts := then(then(others(), again...), step(5, core.Processing, core.Completed, 1, "w1"), checker.Counted{At: s(6), Submitted: 2})
	got := judged(facts).Verdict()
	want := "broken: counters conserve\n2 were submitted, but 0 are in all states:\n" +
		"  12:00:06.000  the dispatcher counted, of all types at event 0: 2 submitted; 0 queued, 0 running, 0 retrying, 0 completed, 0 failed, 0 cancelled, 0 forgotten\n" +
		"(the shortest of 2 violations)"
	if got == nil || got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
}

func TestAViolationTellsAStory(t *testing.T) {
	facts := then(then(others(), again...), step(5, core.Processing, core.Completed, 1, "w1"))
	got := judged(facts).Verdict()
	want := "broken: the result is what the current attempt returned\ntask 1 ended with hand-over 1 while hand-over 2 was current:\n" +
		"  12:00:04.000  task 1: QUEUED -> DISPATCHED, hand-over 2 to w2\n" +
		"  12:00:05.000  task 1: PROCESSING -> COMPLETED, hand-over 1 to w1"
	if got == nil || got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
}

func TestTasksMayBeForgottenAfterEnoughOthersHaveEnded(t *testing.T) {
	facts := then(then([]checker.Fact{submitted(0, 1, "k")}, ended...), others()...)
	facts = append(facts, checker.Told{At: s(50), ID: 1, Missing: true})
	for keep, ok := range map[int]bool{0: false, 3: true, 4: false} {
		l := limits
		l.Keep = keep
		j := checker.New(l)
		for _, f := range facts {
			j.Add(f)
		}
		j.Conclude(s(100))
		if got := j.Verdict() == nil; got != ok {
			t.Errorf("3 others have ended, at least %d are kept (0: all): passed: %t, want %t: %v", keep, got, ok, j.Verdict())
		}
	}
}
