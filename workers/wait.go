package workers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest time that wait accepts.
const maxWait = time.Hour

// wait does nothing for a while, and tells how much of the while has passed. The payload is a number of seconds ("2",
// "1.5") or a duration as Go writes it ("250ms").
func wait(ctx context.Context, payload string) (string, error) {
	length, err := parseWait(payload)
	if err != nil {
		return "", InvalidPayload(err)
	}
	start := time.Now()
	end := time.NewTimer(length)
	defer end.Stop()
	tick := time.NewTicker(max(length/100, 250*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return "waited " + length.String(), nil
		case <-tick.C:
			Report(ctx, time.Since(start).Seconds()/length.Seconds())
		case <-ctx.Done():
			return "", fmt.Errorf("waited only %s of %s: %w", time.Since(start).Round(time.Millisecond), length, context.Cause(ctx))
		}
	}
}

// parseWait reads how long to wait. The error names the payload and the rule.
func parseWait(payload string) (time.Duration, error) {
	text := strings.TrimSpace(payload)
	length, err := time.ParseDuration(text)
	if err != nil {
		length, err = parseSeconds(text)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a time to wait: must be seconds such as 2 or 1.5, or a duration such as 250ms", quote(text))
	case length < 0:
		return 0, fmt.Errorf("%s is negative: must be 0 to %.0f seconds", quote(text), maxWait.Seconds())
	case length > maxWait:
		return 0, fmt.Errorf("%s is too long: must be 0 to %.0f seconds", quote(text), maxWait.Seconds())
	}
	return length, nil
}

// parseSeconds reads a decimal number of seconds. One that is too large for a duration becomes the largest, or smallest, there is.
func parseSeconds(text string) (time.Duration, error) {
	if strings.ContainsAny(text, "xXpP_") {
		return 0, errors.New("not a decimal number")
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		return 0, errors.New("not a finite number")
	}
	switch nanoseconds := math.Round(seconds * float64(time.Second)); {
	case nanoseconds >= math.MaxInt64:
		return math.MaxInt64, nil
	case nanoseconds <= math.MinInt64:
		return math.MinInt64, nil
	default:
		return time.Duration(nanoseconds), nil
	}
}
