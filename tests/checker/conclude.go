package checker

import (
	"maps"
	"slices"
	"time"

	"taskgrid/dispatcher/core"
)

// Conclude judges what needs the whole history, which ends at the time given. Call it once, after the last Add.
func (j *Judge) Conclude(end time.Time) {
	for _, m := range j.missing {
		t := j.tasks[m.told.ID]
		if j.limits.Keep == 0 || t.ordinal == 0 || j.ended-t.ordinal < j.limits.Keep {
			j.violated(Kept, m.shown, "task %d was accepted and is gone", m.told.ID)
		}
	}
	for _, id := range j.order {
		t := j.tasks[id]
		j.accounted(t)
		j.returned(t)
		j.spent(t)
		j.handedToNamed(t)
		j.endedInTime(t, end)
	}
	j.tallied()
}

// accounted: what clients were told is what the steps say.
func (j *Judge) accounted(t *task) {
	if !j.watched {
		return
	}
	if t.submitted.ID != 0 && len(t.steps) == 0 {
		j.violated(Kept, []Fact{t.submitted}, "task %d was accepted, and no event tells of it", t.submitted.ID)
	}
	if t.terminal.ID != 0 && t.stands().Terminal() && t.stands() != t.terminal.State {
		j.violated(Immutable, []Fact{t.steps[len(t.steps)-1], t.terminal}, "task %d ended as one thing and was told as another", t.terminal.ID)
	}
}

// returned: the result is what the worker of the current attempt wrote down.
func (j *Judge) returned(t *task) {
	if !j.records || t.stands() != core.Completed && t.terminal.State != core.Completed {
		return
	}
	handed, known := t.handOver()
	var shown []Fact
	if known {
		shown = append(shown, handed)
	}
	for _, e := range t.executed {
		if known && (e.Token.Number() != handed.Attempt || e.Worker != handed.Worker) || !known && e.Worker != t.terminal.Worker {
			continue
		}
		if !e.Failed && (t.terminal.ID == 0 || e.Result == t.terminal.Result) {
			return
		}
		shown = append(shown, e)
	}
	if t.terminal.ID != 0 {
		j.violated(Result, append(shown, t.terminal), "task %d has a result that the current attempt did not return", t.terminal.ID)
		return
	}
	ended := t.steps[len(t.steps)-1]
	j.violated(Result, append(shown, ended), "task %d is COMPLETED, and the current attempt returned nothing", ended.Task)
}

// spent: a task times out no more often than it may fail.
func (j *Judge) spent(t *task) {
	var timeouts []Fact
	for _, s := range t.steps {
		if s.To == core.Timeout {
			timeouts = append(timeouts, s)
		}
	}
	if most := int(j.maxAttempts(t)); t.known() && len(timeouts) > most {
		j.violated(Attempts, timeouts[:most+1], "task %d timed out %d times and had %d attempts", t.steps[0].Task, len(timeouts), most)
	}
}

// known tells whether the task's own limits are: it was submitted in this history, or somebody read them.
func (t *task) known() bool { return t.submitted.ID != 0 || t.terminal.MaxAttempts != 0 }

func (j *Judge) maxAttempts(t *task) uint32 {
	switch {
	case t.submitted.MaxAttempts != 0:
		return t.submitted.MaxAttempts
	case t.terminal.MaxAttempts != 0:
		return t.terminal.MaxAttempts
	}
	return j.limits.MaxAttempts
}

// handedToNamed: at each hand-over the name service named the worker, or had done so until a moment ago.
func (j *Judge) handedToNamed(t *task) {
	if len(j.named) == 0 {
		return
	}
	for _, s := range t.steps {
		if s.To != core.Dispatched {
			continue
		}
		spans := j.named[s.Worker]
		if slices.ContainsFunc(spans, func(n span) bool {
			return !n.begin.at().After(s.At.Add(j.limits.Lag)) && (n.end == nil || !n.end.at().Add(j.limits.Lag).Before(s.At))
		}) {
			continue
		}
		shown := []Fact{s}
		for _, n := range spans { // the answer that took it away, if there was one
			if n.end != nil && n.end.at().Before(s.At) {
				shown = []Fact{n.end, s}
			}
		}
		j.violated(Named, shown, "task %d was handed to %s, which the name service did not name as ACTIVE", s.Task, s.Worker)
	}
}

// endedInTime: while the type was served, the task was open no longer than its limits give.
func (j *Judge) endedInTime(t *task, end time.Time) {
	var begun Fact
	var typ string
	switch {
	case len(t.steps) > 0:
		begun, typ = t.steps[0], t.steps[0].Type
	case t.submitted.ID != 0:
		begun, typ = t.submitted, t.submitted.Type
	default:
		return
	}
	over := []Fact{begun}
	if last, ok := t.newest(core.State.Terminal); ok {
		end = last.At
		over = append(over, last)
	} else if t.terminal.ID != 0 {
		end = t.terminal.At
		over = append(over, t.terminal)
	} else if n := len(t.steps); n > 1 {
		over = append(over, t.steps[n-1])
	}
	bound := j.bound(t)
	for _, s := range j.served[typ] {
		from, to := s.begin.at(), end
		if begun.at().After(from) {
			from = begun.at()
		}
		if s.end != nil && s.end.at().Before(to) {
			to = s.end.at()
		}
		if open := to.Sub(from); open > bound {
			shown := append([]Fact{s.begin}, over...)
			slices.SortStableFunc(shown, func(a, b Fact) int { return a.at().Compare(b.at()) })
			j.violated(Ends, shown, "%s was served, and the task was open for %v of that time; its limits give %v", typ, open, bound)
			return
		}
	}
}

// bound is how long a task may be open while its type is served: all its attempts to the end, the pauses between them.
func (j *Judge) bound(t *task) time.Duration {
	timeout := t.submitted.AttemptTimeout
	if timeout == 0 {
		timeout = j.limits.AttemptTimeout
	}
	return time.Duration(j.maxAttempts(t))*(timeout+j.limits.Pause) + j.limits.Slack
}

// tallied: the newest counts are those of the steps, if they count the same events.
func (j *Judge) tallied() {
	tally := map[string]map[core.State]uint64{}
	for _, id := range j.order {
		t := j.tasks[id]
		if len(t.steps) == 0 {
			continue
		}
		for _, typ := range []string{"", t.steps[0].Type} {
			if tally[typ] == nil {
				tally[typ] = map[core.State]uint64{}
			}
			tally[typ][t.stands()]++
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(j.counts)) {
		c := j.counts[typ]
		if c.Seq == 0 || c.Seq != j.lastSeq {
			continue
		}
		n := tally[typ]
		completed, failed, cancelled := n[core.Completed], n[core.Failed], n[core.Cancelled]
		ended := completed + failed + cancelled
		if c.Queued != n[core.Created]+n[core.Queued] || c.Running != n[core.Dispatched]+n[core.Processing] || c.Retrying != n[core.Retrying] ||
			c.Completed > completed || c.Failed > failed || c.Cancelled > cancelled || c.Completed+c.Failed+c.Cancelled+c.Forgotten != ended {
			j.violated(Conserved, []Fact{c}, "the events up to there say %d queued, %d running, %d retrying, %d completed, %d failed, %d cancelled",
				n[core.Created]+n[core.Queued], n[core.Dispatched]+n[core.Processing], n[core.Retrying], completed, failed, cancelled)
		}
	}
}
