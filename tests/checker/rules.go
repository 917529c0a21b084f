package checker

// Rule is one promise of the grid.
type Rule string

// The rules. TestEachRuleIsBrokenByAHistory has a history for each.
const (
	// Stream: the events are numbered 1, 2, 3 …; none is missing, none comes twice.
	Stream Rule = "the event stream has no gap and no repeat"
	// Legal: each step begins where the task stands, and the table has it.
	Legal Rule = "a task takes only steps of the table"
	// Once: a task becomes terminal once.
	Once Rule = "one terminal step"
	// Immutable: after the terminal step nothing changes, and all are told the same.
	Immutable Rule = "a terminal task is immutable"
	// Token: each hand-over of a task has a higher number than the one before.
	Token Rule = "each hand-over has a token of its own"
	// Result: the result is what a worker returned for the attempt that was current when the task ended.
	Result Rule = "the result is what the current attempt returned"
	// Kept: a task that was accepted is there, and is the one that was submitted.
	Kept Rule = "an acknowledged task exists for ever after"
	// Key: an idempotency key stands for one task.
	Key Rule = "a key gives one id"
	// IDs: an id stands for one task.
	IDs Rule = "an id is given out once"
	// Attempts: a task fails no more often than it may.
	Attempts Rule = "attempts never exceed the maximum"
	// Named: tasks go only to workers that the name service named as ACTIVE.
	Named Rule = "no hand-over to a worker that the name service did not name"
	// Conserved: each accepted task is in exactly one count, and the count is that of the steps.
	Conserved Rule = "counters conserve"
	// Ends: a task ends within what its own limits give, once a worker of its type is there.
	Ends Rule = "an accepted task ends in time"
)
