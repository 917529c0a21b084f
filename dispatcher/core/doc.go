// Package core is the dispatcher's rules: what a task is, what may become of it, and who gets it next. It has no I/O, no
// goroutines, no clock and no protobuf; the package dispatcher drives it, and so can a simulation.
//
// There are two halves.
//
// The [Machine] is what the journal determines. A record (record.go) says what happened; [Machine.Apply] makes it so, and
// is the only thing that changes a task. It runs when a record has become durable, on every replica, and again when the
// journal is replayed, so what is told to anybody has been through it. Each step is checked against [Transitions], gets
// a place in the history of its task and a sequence number in the one list of events.
//
// The [Scheduler] is what the leader does. It follows the machine's steps, keeps the queues, knows which workers are
// connected and which slots are free, and watches the deadlines. When it decides something it writes a record and, for
// a hand-over, sends the assignment at once. It keeps nothing that a new leader could not learn again: from the machine
// (what is queued, what is running where) and from the workers (what they still have).
//
// What makes this safe is the fence: each hand-over has a [Token], an outcome is recorded only if it bears the token of
// the task's current attempt, and a terminal task has no legal step left. So an outcome may come late, twice, from the
// wrong worker or from an old leader's time: exactly one is recorded.
package core
