// Package bound is a naive dispatcher, to measure the real one against: streams on both legs, a log with group commit,
// and nothing else. It speaks the same contract with the same client library, the same worker and the same name service,
// and its answers carry the same fields, so that what differs is what the dispatcher does. How fast it is on a machine is
// what a dispatcher that syncs before it answers can come close to there, if all that makes it a good one were free.
//
// A task goes through it as through the real one: its spec is synced before it is acknowledged and handed over, its
// outcome before it is told. One goroutine commits, all that has come together in one write and one fdatasync, and runs
// what waited for it.
//
// It leaves out leases, retries, deadlines, cancelling, priorities, idempotency, deduplication, fair choice among several
// workers, history, events, metrics, limits, replicas and recovery: the log is never read, and begins anew over itself when
// its file is full. A task whose worker is gone has failed. Not for use.
package bound
