package load

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"taskgrid/client"
	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

// Record is one task in the log file and on stdout.
type Record struct {
	Time      time.Time `json:"time"`
	ID        uint64    `json:"id"` // 0: the task was refused
	Type      string    `json:"type"`
	Payload   string    `json:"payload"` // its first 200 characters
	Bad       bool      `json:"bad"`     // it was bad on purpose
	Status    string    `json:"status"`
	WorkerID  string    `json:"worker_id"`
	Attempts  uint32    `json:"attempts"`
	MS        float64   `json:"ms"` // from submission to the news of its end
	Verdict   Verdict   `json:"verdict"`
	Why       string    `json:"why,omitempty"`
	RequestID string    `json:"request_id"`
}

// maxLogged bounds the payload in a record, in characters.
const maxLogged = 200

// newRecord returns the record of a task that ended at the time now.
func newRecord(c Case, f client.Finished, now time.Time) Record {
	verdict, why := judge(c, f)
	took := float64(now.Sub(f.Sent).Microseconds()) / 1000
	r := Record{Time: now, Type: c.Type, Payload: cut(c.Payload), Bad: c.Bad, MS: took, Verdict: verdict, Why: why, Status: "REFUSED"}
	if t := f.Task; t != nil {
		r.ID, r.Status, r.WorkerID, r.Attempts, r.RequestID = t.Id, state(t), t.WorkerId, t.Attempts, t.RequestId
	}
	return r
}

// cut returns the first characters of a text.
func cut(s string) string {
	if utf8.RuneCountInString(s) <= maxLogged {
		return s
	}
	return string([]rune(s)[:maxLogged])
}

func state(t *pb.Task) string { return taskjson.State(t.State) }

// Line returns the record for people: id, type, worker, attempts, milliseconds, verdict.
func (r Record) Line() string {
	line := fmt.Sprintf("%-8d %-8s %-16s %d %9.1f ms  %s", r.ID, r.Type, r.WorkerID, r.Attempts, r.MS, r.Verdict)
	if r.Bad && r.Verdict == OK {
		line += " (bad on purpose: FAILED)"
	}
	if r.Why != "" {
		line += ": " + r.Why
	}
	return line
}

// Summary counts what became of the tasks.
type Summary struct {
	Seed       uint64  `json:"seed"`
	Submitted  int     `json:"submitted"`
	OK         int     `json:"ok"`
	Bad        int     `json:"bad"` // of those ok, the ones that were bad on purpose
	Refused    int     `json:"refused"`
	Unexpected int     `json:"unexpected"`
	Unfinished int     `json:"unfinished"` // had not ended when the client had to
	Seconds    float64 `json:"seconds"`
	MeanMS     float64 `json:"mean_ms"`
	MaxMS      float64 `json:"max_ms"`
}

// add counts a record.
func (s *Summary) add(r Record) {
	switch r.Verdict {
	case OK:
		s.OK++
		if r.Bad {
			s.Bad++
		}
	case Refused:
		s.Refused++
		return
	case Unexpected:
		s.Unexpected++
	}
	ended := float64(s.OK + s.Unexpected)
	s.MeanMS += (r.MS - s.MeanMS) / ended
	s.MaxMS = max(s.MaxMS, r.MS)
}

// Line returns the summary for people.
func (s Summary) Line() string {
	return fmt.Sprintf("%d tasks in %.1f s: %d as expected (%d of them bad on purpose), %d UNEXPECTED, %d refused, %d unfinished; mean %.1f ms, longest %.1f ms; seed %d",
		s.Submitted, s.Seconds, s.OK, s.Bad, s.Unexpected, s.Refused, s.Unfinished, s.MeanMS, s.MaxMS, s.Seed)
}

// writeJSON writes a value as a line of JSON.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
