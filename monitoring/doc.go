// Package monitoring collects what the other processes say of themselves and shows it: as REST, as Prometheus metrics,
// as gRPC and as a web page. It holds nothing that the grid needs: when it dies, nothing else notices, and when it
// comes back it knows everything again within one interval.
//
// # How it works
//
// The [Collector] asks each source (every name service, and the dispatcher) for its status once per interval, each in a
// goroutine of its own and with a deadline, so that a silent one delays no other. It keeps the last answer of each,
// and whether the last call succeeded. From that it makes a [Snapshot], which never changes: readers share it without
// a lock. A source that does not answer stays in the snapshot with its last answer, and is named in Missing.
//
//	GetStatus ──► Collector ──► Snapshot ──► Summarize ──► Stats ──► /stats, /workers, /metrics, the page
//	ListTasks, GetTask ◄──── one call each ────────────────────────── /tasks, /tasks/{id}
//	WatchEvents ◄─────────── one stream for each reader ───────────── /events
//
// Tasks and events are not kept here. A request for tasks is a call to the dispatcher. A stream of events is followed
// at the dispatcher from a sequence number on, once per reader, up to a bound: because the dispatcher numbers the
// events, resuming is exact, and because each reader has its own stream with its own flow control, a slow one delays
// nobody. When the dispatcher goes away, the reader's stream stays open and goes on after the last event it got.
//
// # The files
//
// The rules, without I/O: stats.go (the document and how it is made), workers.go (what several name services and the
// dispatcher say of one worker, joined), query.go (what may be asked). The collection: collector.go, snapshot.go,
// translate.go; report.go does the same with answers that the command line got. The faces: server.go (gRPC), rest.go
// with http.go and errors.go, sse.go with follow.go, metrics.go, page.go with the files of the page.
package monitoring
