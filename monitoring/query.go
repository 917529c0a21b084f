package monitoring

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what may be asked.
const (
	// maxLimit is the longest page of tasks that the dispatcher gives; defaultLimit is the page of who does not say.
	maxLimit     = 1000
	defaultLimit = 100
	// maxText bounds the text to search for, in bytes, as the dispatcher does.
	maxText = 256
)

// taskStates are the words that ?state= takes, as in the proto without its prefix.
var taskStates = []string{"CREATED", "QUEUED", "DISPATCHED", "PROCESSING", "TIMEOUT", "RETRYING", "COMPLETED", "FAILED", "CANCELLED"}

// queryError says what is wrong with a request: the parameter, its value and the rule.
type queryError string

func (e queryError) Error() string { return string(e) }

// taskQuery is what GET /tasks was asked for.
type taskQuery struct {
	States                []string
	Type, Text, PageToken string
	Limit                 uint32
	// Basic leaves payload and history out.
	Basic bool
}

func parseTaskQuery(raw string) (taskQuery, error) {
	p, err := parseQuery(raw, "state", "type", "text", "limit", "page_token", "view")
	if err != nil {
		return taskQuery{}, err
	}
	q := taskQuery{Type: p["type"], Text: p["text"], PageToken: p["page_token"], Limit: defaultLimit}
	if len(q.Text) > maxText {
		return taskQuery{}, queryError(fmt.Sprintf("text: %d bytes: must be at most %d", len(q.Text), maxText))
	}
	if q.States, err = parseStates(p["state"]); err != nil {
		return taskQuery{}, err
	}
	if v, ok := p["limit"]; ok {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n < 1 || n > maxLimit {
			return taskQuery{}, queryError(fmt.Sprintf("limit: %q: must be a whole number from 1 to %d", v, maxLimit))
		}
		q.Limit = uint32(n)
	}
	switch p["view"] {
	case "", "full":
	case "basic":
		q.Basic = true
	default:
		return taskQuery{}, queryError(fmt.Sprintf("view: %q: must be full or basic", p["view"]))
	}
	return q, nil
}

// parseStates reads states separated by commas, in upper or lower case. "" is any state.
func parseStates(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var states []string
	for word := range strings.SplitSeq(list, ",") {
		state := strings.ToUpper(strings.TrimSpace(word))
		if !slices.Contains(taskStates, state) {
			return nil, queryError(fmt.Sprintf("state: %q: must be one or several, separated by commas, of %s", word, strings.Join(taskStates, ", ")))
		}
		states = append(states, state)
	}
	return states, nil
}

// parseTaskID reads the id in the path of GET /tasks/{id}.
func parseTaskID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 10, 64)
	if err != nil || id == 0 {
		return 0, queryError(fmt.Sprintf("id: %q: must be a whole number from 1", s))
	}
	return id, nil
}

// eventQuery is what GET /events was asked for.
type eventQuery struct {
	// Since is the sequence number of the last event that the reader has. FromNow: it has none and wants only new ones.
	Since   uint64
	FromNow bool
	// Type and TaskID, when not zero, are the only type and the only task that the reader wants events of.
	Type   string
	TaskID uint64
	// Stats and Workers ask for the documents of /stats and /workers in the same stream, whenever they change.
	Stats, Workers bool
}

// parseEventQuery reads the query and the Last-Event-ID header, "" if there is none. The header is what a browser sends
// when it resumes, with the URL it began with; so it wins over since.
func parseEventQuery(raw, lastEventID string) (eventQuery, error) {
	p, err := parseQuery(raw, "since", "type", "task", "with")
	if err != nil {
		return eventQuery{}, err
	}
	q := eventQuery{Type: p["type"]}
	name, since := "since", p["since"]
	if lastEventID != "" {
		name, since = "Last-Event-ID", lastEventID
	}
	if since == "" {
		q.FromNow = true
	} else if q.Since, err = strconv.ParseUint(since, 10, 64); err != nil {
		return eventQuery{}, queryError(fmt.Sprintf("%s: %q: must be the sequence number of an event, or 0", name, since))
	}
	if v, ok := p["task"]; ok {
		if q.TaskID, err = parseTaskID(v); err != nil {
			return eventQuery{}, queryError(fmt.Sprintf("task: %q: must be a whole number from 1", v))
		}
	}
	if p["with"] == "" {
		return q, nil
	}
	for word := range strings.SplitSeq(p["with"], ",") {
		switch word {
		case "stats":
			q.Stats = true
		case "workers":
			q.Workers = true
		default:
			return eventQuery{}, queryError(fmt.Sprintf("with: %q: must be stats, workers, or both separated by a comma", word))
		}
	}
	return q, nil
}

// parseQuery reads a query in which only the allowed parameters stand, each at most once.
func parseQuery(raw string, allowed ...string) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, queryError(fmt.Sprintf("query: %v", err))
	}
	if unescaped, _ := url.QueryUnescape(raw); !utf8.ValidString(unescaped) {
		return nil, queryError("query: must be valid UTF-8")
	}
	p := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(allowed, name) {
			known := "none is"
			if len(allowed) > 0 {
				known = strings.Join(allowed, ", ") + " are"
			}
			return nil, queryError(fmt.Sprintf("%s: no such query parameter; %s known here", name, known))
		}
		if len(values[name]) > 1 {
			return nil, queryError(fmt.Sprintf("%s: given %d times: must be given once", name, len(values[name])))
		}
		p[name] = values.Get(name)
	}
	return p, nil
}
