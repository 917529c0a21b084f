package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"taskgrid/internal/taskjson"
)

// describeTask writes a task for people: what is known, then its history, in columns separated by tabs.
func describeTask(w io.Writer, t taskjson.Task) {
	line := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	line("id", t.ID)
	line("type", t.Type)
	line("status", t.Status)
	if t.Payload != nil {
		line("payload", fmt.Sprintf("%q", shorten(*t.Payload, 200)))
	}
	if t.Result != nil {
		line("result", fmt.Sprintf("%q", shorten(*t.Result, 200)))
	}
	if t.Error != "" {
		line("error", t.Error)
	}
	line("attempts", fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts))
	if t.Redeliveries > 0 {
		line("redeliveries", fmt.Sprintf("%d (lost with their worker; they spend no attempt)", t.Redeliveries))
	}
	if t.WorkerID != "" {
		line("worker", t.WorkerID)
	}
	if t.DurationMS != nil {
		line("duration", duration(t.DurationMS))
	}
	if t.RetryOf != 0 {
		line("retry of", t.RetryOf)
	}
	line("request id", t.RequestID)
	fmt.Fprintln(w, "\nTIME\tFROM\tTO\tATTEMPT\tWORKER\tREASON")
	for _, h := range t.History {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", clock(h.Time), orDash(h.From), h.To, h.Attempt, orDash(h.WorkerID), h.Reason)
	}
}

// clock writes Unix milliseconds as a time of the day here; "-" for none.
func clock(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).Format("15:04:05.000")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shorten cuts a text that is too long for a table.
func shorten(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

// duration writes milliseconds for people; "-" for none.
func duration(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", *ms)
}

// summary says in a line what came of a task.
func summary(t taskjson.Task) string {
	if t.Result != nil {
		return strconv.Quote(shorten(*t.Result, 60))
	}
	return shorten(t.Error, 60)
}
