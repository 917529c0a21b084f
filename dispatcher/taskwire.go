package dispatcher

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"taskgrid/dispatcher/core"
)

// A stream of tasks tells of tens of thousands of them in a second, and each as a pb.Task, with five messages inside,
// costs more to make, to encode and to collect than all else that is done to tell of it. So a task is encoded from the
// core's form at once. taskOf says what it looks like; a test compares the two.

// appendTask appends a field that holds a task as taskOf shows it in the BASIC view, without progress. room is memory for
// the task, and is returned for the next one.
func appendTask(b []byte, field protowire.Number, t *core.Task, room []byte) (with, again []byte) {
	p := appendNumber(room[:0], 1, t.ID)
	p = appendText(p, 2, t.Type)
	if t.State == core.Completed {
		p = protowire.AppendString(protowire.AppendTag(p, 4, protowire.BytesType), t.Result)
	}
	p = appendText(p, 5, t.Error)
	p = appendNumber(p, 6, uint64(t.State))
	p = appendNumber(p, 7, uint64(t.Attempts))
	p = appendNumber(p, 8, uint64(t.Redeliveries))
	p = appendNumber(p, 9, uint64(t.MaxAttempts))
	p = appendText(p, 10, t.WorkerID)
	p = appendText(p, 11, t.RequestID)
	p = appendText(p, 12, t.Key)
	p = appendNumber(p, 13, uint64(t.Priority))
	for _, l := range t.Labels {
		entry := appendText(appendText(nil, 1, l.Key), 2, l.Value)
		p = protowire.AppendBytes(protowire.AppendTag(p, 14, protowire.BytesType), entry)
	}
	p = appendInstant(p, 15, t.Created)
	p = appendInstant(p, 16, t.DispatchedAt)
	p = appendInstant(p, 17, t.Ended)
	if t.Duration != 0 {
		p = appendDuration(p, 18, t.Duration)
	}
	p = appendDuration(p, 19, t.AttemptTimeout)
	if t.QueueTimeout != 0 {
		p = appendDuration(p, 20, t.QueueTimeout)
	}
	p = appendNumber(p, 22, t.RetryOf)
	p = appendInstant(p, 23, t.RetryAt)
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), p), p
}

// appendNumber leaves out a 0, as proto3 does.
func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// appendText leaves out an empty text, as proto3 does.
func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// appendInstant leaves out a moment that never was.
func appendInstant(b []byte, field protowire.Number, i core.Instant) []byte {
	if i == 0 {
		return b
	}
	at := i.Time()
	return appendSeconds(b, field, at.Unix(), int64(at.Nanosecond()))
}

func appendDuration(b []byte, field protowire.Number, d time.Duration) []byte {
	return appendSeconds(b, field, int64(d/time.Second), int64(d%time.Second))
}

// appendSeconds appends a Timestamp or a Duration: both have seconds and nanoseconds.
func appendSeconds(b []byte, field protowire.Number, seconds, nanos int64) []byte {
	var room [2 * (1 + 10)]byte // two tags, two numbers
	p := appendNumber(appendNumber(room[:0], 1, uint64(seconds)), 2, uint64(nanos))
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), p)
}
