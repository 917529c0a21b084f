// Package checker judges what was seen of a grid: it says whether the history could have come from a grid that keeps its
// promises, and if not, which rule is broken and what shows it.
//
// A history is a list of facts, in the order in which they were learnt:
//
//   - what clients were told: Submitted (a task is accepted), Told (how a task stands, or that there is none);
//   - the dispatcher's event stream: Step (of a task), Change (of a worker);
//   - what workers did: Executed, written down by the worker itself before it reports;
//   - what the name service answered: Listed;
//   - what the dispatcher counts: Counted;
//   - what the test knows because it did it: Serves (a worker of the type is there from now on, or no longer).
//
// Nobody has to record all of it: a rule whose facts were not recorded is not judged. Facts are plain structs with the
// time in them, so a single-threaded simulation, a bubble in virtual time and real processes are judged by the same
// rules, and the legal steps are those of the table in dispatcher/core.
//
//	j := checker.New(checker.Limits{...})
//	j.Add(fact) // for each
//	j.Conclude(end)
//	if v := j.Verdict(); v != nil { t.Fatal(v) }
//
// Rules (rules.go) are judged by the fact that breaks them where one fact can (judge.go), and at the end where it needs
// the whole history (conclude.go). A Violation shows the fewest facts that contradict one another: two steps of one task
// out of a million events.
package checker
