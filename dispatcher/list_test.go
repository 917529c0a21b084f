package dispatcher

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"taskgrid/dispatcher/core"
	pb "taskgrid/proto/taskgrid/v1"
)

func TestAPageTokenLeadsWhereItWasMadeFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, ascending := rapid.Uint64Min(1).Draw(t, "id"), rapid.Bool().Draw(t, "ascending")
		token := formatToken(id, ascending)
		if got, err := parseToken(token, ascending); err != nil || got != id {
			t.Fatalf("token %q of %d: read %d, %v", token, id, got, err)
		}
		if got, err := parseToken(token, !ascending); err == nil {
			t.Fatalf("token %q, made for the other direction: read %d", token, got)
		}
	})
}

func TestThereIsNoTokenForNoPage(t *testing.T) {
	if got := formatToken(0, true); got != "" {
		t.Errorf("got %q", got)
	}
}

// FuzzPageToken: what is accepted as a token is one that we made.
func FuzzPageToken(f *testing.F) {
	for _, token := range []string{"", "forged", formatToken(1, true), formatToken(1<<40, false), formatToken(1, true) + "=", strings.Repeat("A", 33), "YQA", "YYAA"} {
		f.Add(token, true)
		f.Add(token, false)
	}
	f.Fuzz(func(t *testing.T, token string, ascending bool) {
		id, err := parseToken(token, ascending)
		if err == nil && (id == 0 || formatToken(id, ascending) != token) {
			t.Errorf("%q was read as %d, whose token is %q", token, id, formatToken(id, ascending))
		}
		if err != nil && !strings.Contains(err.Error(), "page_token") {
			t.Errorf("%q: the error %q does not name the field", token, err)
		}
	})
}

func TestAFilterTakesWhatItNames(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	task := &core.Task{Spec: &core.Spec{Type: "hash", Payload: "needle", Key: "the-key", RequestID: "the-call",
		Labels: []core.Label{{Key: "course", Value: "systems"}}}, State: core.Failed, Error: "broken", WorkerID: "w7", Created: core.At(noon)}
	for name, c := range map[string]struct {
		req  *pb.ListTasksRequest
		want bool
	}{
		"nothing":              {&pb.ListTasksRequest{}, true},
		"its state":            {&pb.ListTasksRequest{States: []pb.TaskState{pb.TaskState_TASK_STATE_QUEUED, pb.TaskState_TASK_STATE_FAILED}}, true},
		"another state":        {&pb.ListTasksRequest{States: []pb.TaskState{pb.TaskState_TASK_STATE_QUEUED}}, false},
		"its type":             {&pb.ListTasksRequest{Type: "hash"}, true},
		"another type":         {&pb.ListTasksRequest{Type: "has"}, false},
		"created at its time":  {&pb.ListTasksRequest{CreatedAfter: timestamppb.New(noon)}, true},
		"created later":        {&pb.ListTasksRequest{CreatedAfter: timestamppb.New(noon.Add(time.Second))}, false},
		"created before it":    {&pb.ListTasksRequest{CreatedBefore: timestamppb.New(noon)}, false},
		"created before later": {&pb.ListTasksRequest{CreatedBefore: timestamppb.New(noon.Add(time.Second))}, true},
		"its payload":          {&pb.ListTasksRequest{Text: "eedl"}, true},
		"its error":            {&pb.ListTasksRequest{Text: "broken"}, true},
		"its worker":           {&pb.ListTasksRequest{Text: "w7"}, true},
		"its key":              {&pb.ListTasksRequest{Text: "the-key"}, true},
		"its request":          {&pb.ListTasksRequest{Text: "the-call"}, true},
		"a label's key":        {&pb.ListTasksRequest{Text: "course"}, true},
		"a label's value":      {&pb.ListTasksRequest{Text: "systems"}, true},
		"another case":         {&pb.ListTasksRequest{Text: "Needle"}, false},
		"both, one wrong":      {&pb.ListTasksRequest{Text: "needle", Type: "sum"}, false},
	} {
		f, err := filterOf(c.req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := f.matches(task); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
