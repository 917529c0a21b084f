package dispatcher

import (
	"context"
	"log/slog"
	"time"

	"taskgrid/dispatcher/core"
)

// logEvents writes what happens to tasks and workers into the log until ctx ends: the ends of attempts at level info,
// everything at level debug. It reads the events as a watcher does, beside the lock, so a log that blocks delays
// nobody; what it is too slow for, or has no budget for, it leaves out.
func (d *Dispatcher) logEvents(ctx context.Context) error {
	since := d.lastEvent()
	var events []core.Event
	for {
		news := d.news.wait()
		var first uint64
		var ok bool
		if events, first, ok = d.eventsToLog(since, events[:0]); !ok {
			since = first - 1
			continue
		}
		for i := range events {
			since = events[i].Seq
			if !d.logEvent(&events[i]) {
				since = d.lastEvent() // no budget is left in this second
				break
			}
		}
		if len(events) > 0 && since != d.lastEvent() {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
	}
}

// eventsToLog is eventsSince for this replica's log: what is replayed is old, and what another leader does is in its log.
func (d *Dispatcher) eventsToLog(seq uint64, buf []core.Event) (events []core.Event, first uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.inherited
	if d.scheduler == nil {
		old = d.machine.LastEvent()
	}
	events, ok = d.machine.Events(max(seq, old), eventBatch, buf)
	return events, d.machine.FirstEvent(), ok
}

// logEvent writes one event. It returns false when there is no budget for it.
func (d *Dispatcher) logEvent(e *core.Event) bool {
	level := slog.LevelDebug
	if e.TaskID == 0 || e.From.Running() && e.To != core.Processing {
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !d.log.Enabled(ctx, level) {
		return true
	}
	if !d.log.Enabled(ctx, slog.LevelDebug) && !d.lines.Allows(time.Now()) {
		return false
	}
	if e.TaskID == 0 {
		d.log.LogAttrs(ctx, level, "worker "+e.Aspect, slog.String("worker_id", e.WorkerID),
			slog.String("from", e.Before), slog.String("to", e.After), slog.String("reason", e.Reason))
		return true
	}
	d.log.LogAttrs(ctx, level, "task "+e.To.String(), slog.String("request_id", d.requestID(e.TaskID)), slog.Uint64("task_id", e.TaskID),
		slog.Uint64("attempt", uint64(e.Attempt)), slog.String("worker_id", e.WorkerID), slog.String("type", e.Type),
		slog.String("from", e.From.String()), slog.String("reason", e.Reason))
	return true
}

// requestID returns the request id that a task was submitted with, "" when it is forgotten.
func (d *Dispatcher) requestID(task uint64) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.machine.Task(task); t != nil {
		return t.RequestID
	}
	return ""
}

// oddity is an answer of a worker that did not count, or should not have come.
type oddity struct {
	answer        string
	reason        string
	task, attempt uint64
}

// logOddities writes them into the log, within its budget. They are counted in any case.
func (d *Dispatcher) logOddities(worker string, odd []oddity) {
	for _, o := range odd {
		if !d.oddLog.Allows(time.Now()) {
			return
		}
		d.log.Warn("odd answer of a worker", "answer", o.answer, "odd", o.reason, "worker_id", worker,
			"task_id", o.task, "attempt", core.Token(o.attempt).Number(), "request_id", d.requestID(o.task))
	}
}
