// Package dispatcher accepts tasks, keeps them, hands them to workers and records exactly one outcome for each.
//
// Its rules are in package core, its disk in package journal. What is here ties the two to the network:
//
//	submit.go, server.go        a caller's task becomes a record; the caller is answered when the journal has applied it
//	dispatcher.go               the one lock: every step of the core happens under it, and what the step decided goes
//	                            from there to the journal and to the workers' streams
//	lead.go                     what begins and ends with leadership: the scheduler, the clock that drives it, the streams
//	link.go                     one Process stream to one worker
//	directory.go                what the name services say of the workers
//	wait.go, run.go, events.go  callers who want to be told
//
// One lock is enough because nothing slow happens under it: a step is memory work of microseconds, proposing is an
// append to a buffer, and waking a stream is a token in a channel. Disk and network run beside it, on goroutines of
// their own, so a slow worker, caller or disk delays only those who wait for it.
package dispatcher
