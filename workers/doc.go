// Package workers is the worker: it registers with the name service, runs attempts that the dispatcher hands over, and
// tells what became of them.
//
// # Where to begin
//
// catalog.go lists the task types; each handler stands in a file of its own (reverse.go, sum.go …). To add one, follow
// docs/adding-a-task-type.md.
//
// # Who owns what
//
//   - Slots (slots.go, outcome.go) are the rules: which attempts wait, which run, which outcomes nobody has acknowledged.
//     No lock, no clock, no goroutine.
//   - engine (engine.go, execute.go) owns the Slots under its mutex, and one goroutine per slot that runs handlers: with a
//     deadline (context.go), behind a barrier for panics.
//   - session (session.go) is what is still to be told on one Process stream; service (stream.go) is the gRPC face that
//     reads from the stream and writes to it.
//   - registration (registration.go) keeps the worker registered at one name service; nameServices (nameservices.go) has
//     one for each.
//   - Worker (worker.go) starts all of these and stops them in the right order.
//
// # When a stream breaks
//
// Attempts belong to the Slots, not to a stream. While there is no stream they run on, and their outcomes are kept. A new
// stream becomes the current one in the same critical section in which Hello is filled, so each thing that happens is
// told either in that Hello or on that stream after it. Messages of the stream before it count no more from that moment:
// an assignment that was still under way on it is one that the dispatcher does not find in Hello, and hands over anew.
//
// # What is bounded
//
// Attempts: capacity and window; more are refused. Outcomes without acknowledgement: 65,536 and 64 MiB; the oldest go.
// Things to tell on a stream: when 16,384 wait, nothing more is read from it. Results: --max-payload. Messages of errors:
// 4 KiB. Lines in the log about single tasks: 100 a second, unless at debug level.
package workers
