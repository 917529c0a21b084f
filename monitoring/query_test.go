package monitoring

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseTaskQuery(t *testing.T) {
	tests := []struct {
		raw  string
		want taskQuery
		fail string // what the error must name
	}{
		{raw: "", want: taskQuery{Limit: 100}},
		{raw: "state=FAILED&type=hash&limit=7&page_token=abc&text=a%20b", want: taskQuery{States: []string{"FAILED"}, Type: "hash", Limit: 7, PageToken: "abc", Text: "a b"}},
		{raw: "state=failed,Cancelled&view=basic", want: taskQuery{States: []string{"FAILED", "CANCELLED"}, Limit: 100, Basic: true}},
		{raw: "view=full&limit=1000", want: taskQuery{Limit: 1000}},
		{raw: "state=DONE", fail: `state: "DONE"`},
		{raw: "state=UNSPECIFIED", fail: `state: "UNSPECIFIED"`},
		{raw: "state=FAILED,", fail: `state: ""`},
		{raw: "limit=0", fail: `limit: "0"`},
		{raw: "limit=1001", fail: "from 1 to 1000"},
		{raw: "limit=-1", fail: `limit: "-1"`},
		{raw: "limit=", fail: `limit: ""`},
		{raw: "limit=99999999999999999999", fail: "limit"},
		{raw: "limit=1&limit=2", fail: "limit: given 2 times"},
		{raw: "view=all", fail: `view: "all"`},
		{raw: "text=" + strings.Repeat("x", 257), fail: "text: 257 bytes"},
		{raw: "states=FAILED", fail: "states: no such query parameter"},
		{raw: "a;b", fail: "query: "},
		{raw: "limit=%zz", fail: "query: "},
	}
	for _, tt := range tests {
		got, err := parseTaskQuery(tt.raw)
		check(t, tt.raw, err, tt.fail)
		if diff := cmp.Diff(tt.want, got); tt.fail == "" && diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.raw, diff)
		}
	}
}

func TestParseEventQuery(t *testing.T) {
	tests := []struct {
		raw, header string
		want        eventQuery
		fail        string
	}{
		{raw: "", want: eventQuery{FromNow: true}},
		{raw: "since=0", want: eventQuery{}},
		{raw: "since=17&type=sum&task=4", want: eventQuery{Since: 17, Type: "sum", TaskID: 4}},
		{raw: "since=17", header: "99", want: eventQuery{Since: 99}},
		{raw: "", header: "99", want: eventQuery{Since: 99}},
		{raw: "with=stats,workers&since=1", want: eventQuery{Since: 1, Stats: true, Workers: true}},
		{raw: "since=-1", fail: `since: "-1"`},
		{raw: "since=18446744073709551616", fail: "since"},
		{raw: "since=1", header: "x", fail: `Last-Event-ID: "x"`},
		{raw: "task=0", fail: `task: "0"`},
		{raw: "with=tasks", fail: `with: "tasks"`},
		{raw: "from=1", fail: "since, type, task, with are known here"},
	}
	for _, tt := range tests {
		got, err := parseEventQuery(tt.raw, tt.header)
		check(t, tt.raw+" "+tt.header, err, tt.fail)
		if diff := cmp.Diff(tt.want, got); tt.fail == "" && diff != "" {
			t.Errorf("%q %q (-want +got):\n%s", tt.raw, tt.header, diff)
		}
	}
}

func check(t *testing.T, what string, err error, fail string) {
	t.Helper()
	var query queryError
	switch {
	case fail == "" && err != nil:
		t.Errorf("%q: got error %v, want none", what, err)
	case fail != "" && (!errors.As(err, &query) || !strings.Contains(err.Error(), fail)):
		t.Errorf("%q: got error %v, want one that says %q", what, err, fail)
	}
}

// FuzzQueries checks that no query panics, and that what is accepted keeps the bounds.
func FuzzQueries(f *testing.F) {
	for _, seed := range []string{"", "state=FAILED&limit=3", "since=4&with=stats", "limit=1&limit=2", "a;b", "%", "text=ä&view=basic"} {
		f.Add(seed, "")
		f.Add(seed, "17")
	}
	f.Fuzz(func(t *testing.T, raw, header string) {
		if q, err := parseTaskQuery(raw); err == nil && (q.Limit < 1 || q.Limit > maxLimit || len(q.Text) > maxText) {
			t.Errorf("%q: got %+v", raw, q)
		}
		if q, err := parseEventQuery(raw, header); err == nil && q.FromNow && header != "" {
			t.Errorf("%q: Last-Event-ID %q was ignored: %+v", raw, header, q)
		}
		if _, err := url.ParseQuery(raw); err != nil {
			if _, err := parseTaskQuery(raw); err == nil {
				t.Errorf("%q: no query, and accepted", raw)
			}
		}
	})
}
