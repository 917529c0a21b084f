// Package simulation runs a whole grid in virtual time, in one goroutine, from a seed: the same seed gives the same log,
// byte for byte.
//
// What runs is the grid's own rules, those that decide anything: the name service's Registry, the dispatcher's Machine,
// Scheduler and View, the worker's Slots, the client's Retry and Flight. They have no goroutine, no clock and no I/O, so
// that this package can drive them. What is around them in production (gRPC, raft, the disk) is played by small models
// that may do whatever the real thing may do, and do it far more often.
//
//	world        time, chance and the log
//	process      one that may be paused, crash and start again, with a clock of its own
//	network      calls and streams between processes, and what may happen to them
//	nameservice  Registry, and who watches it
//	worker       Slots, heartbeats, handlers, draining, and lies
//	dispatcher   Machine and Scheduler: the journal, leadership, ticks
//	directory    View: what the name services say, and who is dialled for it
//	disk         the journal's disk: slow, failing, torn
//	client       Flight and Retry: submits, waits, cancels
//	plan         tasks and faults, as a list that a failure can be shrunk to
//	shrink       finds the fewest of them that still fail, and tells the story
//	referee      writes down what can be seen, for tests/checker to judge, and says what must hold inside
//
// When the faults end, everything that was accepted must come to an end.
//
//	make simulate SEEDS=1000000     so many seeds
//	make simulate SEED=4711         one, with its log; a failure prints the seed, and is told as a story
package simulation
