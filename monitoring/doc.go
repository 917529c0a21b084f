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
//	WatchEvents ◄─────────── one stream for all readers ──► ring ──── /events
//
// Tasks are not kept here: a request for tasks is a call to the dispatcher. Events are followed at the dispatcher while
// somebody reads them, by one stream, which goes on after its last event when the dispatcher was away; the newest ones
// stand in a ring, as they are written to readers. Each reader goes through the ring at its own pace, and nothing waits
// for a reader. Because the dispatcher numbers the events, resuming is exact: within the ring from the ring, further back
// with a stream of the reader's own, until it has caught up. A reader that falls behind the ring is ended, as is one that
// takes nothing of what is written to it; both may resume.
//
// # The files
//
// The rules, without I/O: stats.go (the document and how it is made), workers.go (what several name services and the
// dispatcher say of one worker, joined), query.go (what may be asked), ring.go (the newest events). The collection:
// collector.go, snapshot.go, translate.go; report.go does the same with answers that the command line got. The events:
// follow.go (from the dispatcher), hub.go (shared), feed.go (to one reader). The faces: server.go (gRPC), rest.go with
// http.go and errors.go, sse.go, metrics.go, page.go with the files of the page.
package monitoring
