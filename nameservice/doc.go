// Package nameservice knows which workers live, where they listen and what they can do.
//
// # Leases
//
// A worker registers once, for all its types, and gets a lease: an unguessable word that it repeats with every
// heartbeat. What the name service concludes from the heartbeats is the worker's state, by the length of the silence:
//
//	          0 s          3 s             10 s           60 s
//	heartbeat ─── ACTIVE ──┬── UNHEALTHY ──┬── OFFLINE ───┬── forgotten
//	         (or DRAINING)   nothing new     its work       its lease is
//	                         for it          is lost        unknown
//
// A heartbeat leads back to ACTIVE from everywhere but the end (to DRAINING, if the worker was asked to drain); after
// that it is answered "unknown lease", and the worker registers again. That one rule also refills a name service that
// was restarted: it starts empty, it answers "unknown lease" to everybody, and two heartbeats later it knows everybody.
// This is why nothing is written to disk: the truth is what living workers say. For the same reason several name
// services need not agree with each other. A worker keeps its one lease with each of them, and a reader joins what they
// say.
//
// One worker_id has one entry. A second process that registers under the same id takes it over, and the lease of the
// first is dead. That is how a restarted worker comes back; but when the first still sends heartbeats, two processes
// fight for one name, and the log warns of it.
//
// # The silence is judged at the time of reading
//
// Every operation first moves the registry's time forward and lets all that is due happen, so that no reader is ever
// told that a dead worker is alive, however seldom anybody sweeps. This is cheap: workers stand in three queues (alive,
// unhealthy, offline), each in the order of the last heartbeat. All in one queue wait for the same length of silence,
// so whoever is due next stands in front. A heartbeat moves its worker to the back of the first queue, whatever the
// number of workers.
//
// # A name service that stood still
//
// Stopped by SIGSTOP, or paused with its container, this process hears nobody, and on waking the heartbeats of that time
// are missing. That is its own silence and nobody else's. It notices by its sweep (package pulse): when neither that nor
// any call has happened for far longer than it should, nothing of the process ran, and that time is left out of all
// silences, whoever asks first. What was silent before is judged as if the time had not been: 2 s of silence, a pause of
// an hour, and a second later the worker is UNHEALTHY.
//
// # Watching
//
// Every change but a mere heartbeat counts up the version, and the entry that changed bears it. Entries stand in a list
// in the order of their versions, so "what has changed since version 41" is the tail of that list, in its present form.
// A reader that falls behind therefore has no backlog: it gets the newest state of each worker that changed meanwhile,
// once. Only departures (a worker left, or gave up a type) need to be remembered apart; 65,536 of them are. A reader
// that has missed more is ended with RESOURCE_EXHAUSTED and starts anew with a snapshot.
//
// A change is encoded once, and all watchers send the same bytes. A watcher that does not read blocks its own goroutine
// and nothing else.
//
// # Files
//
// The rules (no clock, no goroutines, no I/O; the time is an argument): registration.go and worker.go say what is known
// of a worker, registry.go what may be asked, roster.go holds the tables, expiry.go the queues, changes.go the order of
// versions, services.go the announced services. The gRPC face: server.go, sweep.go, watch.go, frame.go, convert.go, metrics.go.
// The wiring is in cmd/taskgrid.
package nameservice
