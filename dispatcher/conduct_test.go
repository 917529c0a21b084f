package dispatcher

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNonsenseIsForgivenOnceAndThenByTheSecond(t *testing.T) {
	now := time.Unix(0, 0)
	judge := newConduct(10, now)
	for _, step := range []struct {
		after         time.Duration
		odd, progress int
		want          string // why the worker is hung up on
	}{
		{0, 1010, 0, ""},
		{10 * time.Millisecond, 1, 0, ""},
		{0, 1, 0, "it answers nonsense: more than 1010 answers that do not count, and 100 a second"},
		{time.Second, 99, 2000, ""},
		{time.Second, 100, 1000, ""},
		{time.Second, 100, 1001, "it reports progress without end: more than 2000 reports, and 1000 a second"},
		{time.Hour, 1010, 2000, ""},
		{-time.Hour, 1, 0, "it answers nonsense: more than 1010 answers that do not count, and 100 a second"},
	} {
		now = now.Add(step.after)
		got := ""
		if err := judge.judge(now, step.odd, step.progress); err != nil {
			got = err.Error()
		}
		if got != step.want {
			t.Errorf("%v later, %d odd answers and %d reports: got %q, want %q", step.after, step.odd, step.progress, got, step.want)
		}
	}
}

// TestAReasonIsText: it goes into events, and one that is not valid UTF-8 would make the stream of events unreadable.
func TestAReasonIsText(t *testing.T) {
	for _, said := range []string{"\xff\xfe", "ä" + strings.Repeat("€", 1000), strings.Repeat("\xff", 5000)} {
		got := reason(status.Error(codes.Unknown, said))
		if !utf8.ValidString(got) || len(got) > maxReason+len("…") {
			t.Errorf("a worker ended its stream with %q: the reason is %q", said, got)
		}
	}
}
