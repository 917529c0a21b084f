package dispatcher

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	defaultPage = 100
	maxPage     = 1000
	maxText     = 256

	// maxScan bounds how many tasks one ListTasks looks at: a filter that matches next to nothing answers with an empty
	// page and a token to go on from, within tens of milliseconds.
	maxScan = 200_000
)

// filter is what a ListTasks asks for.
type filter struct {
	states    map[core.State]bool // nil: any
	typ       string
	after     core.Instant
	before    core.Instant // 0: any
	text      string
	ascending bool
	size      int
	next      uint64 // the id to go on from, itself included; 0: from the beginning
}

// filterOf checks a request. The error names field, value and rule.
func filterOf(req *pb.ListTasksRequest) (f filter, err error) {
	for _, s := range req.GetStates() {
		if pb.TaskState_name[int32(s)] == "" || s == pb.TaskState_TASK_STATE_UNSPECIFIED {
			return f, fmt.Errorf("states: %d: must be a task state", s)
		}
		if f.states == nil {
			f.states = map[core.State]bool{}
		}
		f.states[core.State(s)] = true
	}
	f.typ, f.text, f.ascending, f.size = req.GetType(), req.GetText(), req.GetAscending(), int(req.GetPageSize())
	switch {
	case f.typ != "" && !core.ValidType(f.typ):
		return f, fmt.Errorf("type: %q: must be 1 to %d characters of a-z, 0-9, '-' and '_'", shorten(f.typ, 80), core.MaxTypeLength)
	case len(f.text) > maxText:
		return f, fmt.Errorf("text: %d bytes: must be at most %d bytes", len(f.text), maxText)
	case f.size > maxPage:
		return f, fmt.Errorf("page_size: %d: must be 1 to %d, or 0 for %d", f.size, maxPage, defaultPage)
	case f.size == 0:
		f.size = defaultPage
	}
	if req.GetCreatedAfter() != nil {
		f.after = core.At(req.GetCreatedAfter().AsTime())
	}
	if req.GetCreatedBefore() != nil {
		f.before = core.At(req.GetCreatedBefore().AsTime())
	}
	if req.GetPageToken() != "" {
		f.next, err = parseToken(req.GetPageToken(), f.ascending)
	}
	return f, err
}

// matches tells whether a task is asked for.
func (f *filter) matches(t *core.Task) bool {
	return (f.states == nil || f.states[t.State]) && (f.typ == "" || f.typ == t.Type) &&
		t.Created >= f.after && (f.before == 0 || t.Created < f.before) && (f.text == "" || f.contains(t))
}

func (f *filter) contains(t *core.Task) bool {
	for _, s := range []string{t.Payload, t.Result, t.Error, t.WorkerID, t.Key, t.RequestID} {
		if strings.Contains(s, f.text) {
			return true
		}
	}
	return slices.ContainsFunc(t.Labels, func(l core.Label) bool {
		return strings.Contains(l.Key, f.text) || strings.Contains(l.Value, f.text)
	})
}

// list returns a page of tasks and where the next one begins; 0: nowhere. It holds the lock only for a page of ids at a
// time, so that going through a million tasks holds up nobody.
func (d *Dispatcher) list(f filter) (found []*core.Task, next uint64) {
	d.mu.Lock()
	first, last := d.machine.FirstPage(), d.machine.LastID()/core.PageTasks
	d.mu.Unlock()
	page := last
	if f.ascending {
		page = first
	}
	if f.next != 0 {
		page = max(first, min(last, f.next/core.PageTasks))
	}
	for scanned := 0; ; {
		d.mu.Lock()
		tasks := d.machine.Page(page)
		d.mu.Unlock()
		if !f.ascending {
			slices.Reverse(tasks)
		}
		for _, t := range tasks {
			if f.next != 0 && (f.ascending && t.ID < f.next || !f.ascending && t.ID > f.next) {
				continue
			}
			if len(found) == f.size || scanned == maxScan {
				return found, t.ID
			}
			scanned++
			if f.matches(t) {
				found = append(found, t)
			}
		}
		switch {
		case f.ascending && page < last:
			page++
		case !f.ascending && page > first:
			page--
		default:
			return found, 0
		}
	}
}

// A page token is the direction and the id to go on from.

func formatToken(next uint64, ascending bool) string {
	if next == 0 {
		return ""
	}
	direction := byte('d')
	if ascending {
		direction = 'a'
	}
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint([]byte{direction}, next))
}

func parseToken(token string, ascending bool) (uint64, error) {
	err := fmt.Errorf("page_token: %q: must be the next_page_token of an answer in the same order", shorten(token, 80))
	if len(token) > 32 {
		return 0, err
	}
	data, decodeErr := base64.RawURLEncoding.DecodeString(token)
	if decodeErr != nil || len(data) < 2 {
		return 0, err
	}
	next, n := binary.Uvarint(data[1:])
	if n != len(data)-1 || next == 0 || formatToken(next, ascending) != token {
		return 0, err
	}
	return next, nil
}

// uptime returns how long this process has run.
func (d *Dispatcher) uptime() time.Duration { return time.Since(d.started) }
