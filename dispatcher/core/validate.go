package core

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds on what a caller may ask for. They are the contract's; proto/taskgrid/v1/task.proto tells them to callers.
const (
	MaxTypeLength     = 32
	MaxKeyLength      = 128
	MaxLabels         = 16
	MaxLabelKey       = 63
	MaxLabelValue     = 255
	MaxMaxAttempts    = 100
	MinTimeout        = time.Millisecond
	MaxAttemptTimeout = 24 * time.Hour
	MaxQueueTimeout   = 30 * 24 * time.Hour
)

// Defaults is what a task gets that does not say, and how long its payload may be.
type Defaults struct {
	MaxAttempts    uint32
	AttemptTimeout time.Duration
	MaxPayload     int // bytes
}

// FieldError says that a field breaks a rule.
type FieldError struct {
	Field, Value, Rule string
}

// Error names field, value and rule.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Field, e.Value, e.Rule) }

func fieldError(field string, value any, rule string, args ...any) error {
	v := fmt.Sprintf("%v", value)
	if s, ok := value.(string); ok {
		v = quote(s)
	}
	return &FieldError{Field: field, Value: v, Rule: fmt.Sprintf(rule, args...)}
}

// quote returns s in quotes, shortened to what fits a message.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// ValidType tells whether a type's name is well formed: 1 to 32 characters of a-z, 0-9, '-' and '_'.
func ValidType(typ string) bool {
	if typ == "" || len(typ) > MaxTypeLength {
		return false
	}
	for i := range len(typ) { // for each submission: strings.Trim would build a set each time
		if c := typ[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Complete fills in what a submission leaves out, and checks the rest. The error is a *FieldError.
func (s *Spec) Complete(d Defaults) error {
	if s.MaxAttempts == 0 {
		s.MaxAttempts = d.MaxAttempts
	}
	if s.AttemptTimeout == 0 {
		s.AttemptTimeout = d.AttemptTimeout
	}
	switch {
	case !ValidType(s.Type):
		return fieldError("type", s.Type, "must be 1 to %d characters of a-z, 0-9, '-' and '_'", MaxTypeLength)
	case len(s.Payload) > d.MaxPayload:
		return fieldError("payload", fmt.Sprintf("%d bytes", len(s.Payload)), "must be at most %d bytes", d.MaxPayload)
	case !utf8.ValidString(s.Payload):
		return fieldError("payload", s.Payload, "must be valid UTF-8")
	case len(s.Key) > MaxKeyLength:
		return fieldError("idempotency_key", s.Key, "must be at most %d bytes", MaxKeyLength)
	case !utf8.ValidString(s.Key):
		return fieldError("idempotency_key", s.Key, "must be valid UTF-8")
	case s.Priority < 0 || s.Priority >= Priorities:
		return fieldError("priority", s.Priority, "must be 0 to %d", Priorities-1)
	case s.MaxAttempts > MaxMaxAttempts:
		return fieldError("max_attempts", s.MaxAttempts, "must be 1 to %d, or 0 for the default", MaxMaxAttempts)
	case s.AttemptTimeout < MinTimeout || s.AttemptTimeout > MaxAttemptTimeout:
		return fieldError("attempt_timeout", s.AttemptTimeout, "must be %v to %v", MinTimeout, MaxAttemptTimeout)
	case s.QueueTimeout != 0 && (s.QueueTimeout < MinTimeout || s.QueueTimeout > MaxQueueTimeout):
		return fieldError("queue_timeout", s.QueueTimeout, "must be %v to %v, or absent", MinTimeout, MaxQueueTimeout)
	case len(s.Labels) > MaxLabels:
		return fieldError("labels", fmt.Sprintf("%d pairs", len(s.Labels)), "must be at most %d", MaxLabels)
	}
	for _, l := range s.Labels {
		switch {
		case l.Key == "" || len(l.Key) > MaxLabelKey || !utf8.ValidString(l.Key):
			return fieldError("labels", l.Key, "a key must be 1 to %d bytes of valid UTF-8", MaxLabelKey)
		case len(l.Value) > MaxLabelValue || !utf8.ValidString(l.Value):
			return fieldError("labels["+l.Key+"]", l.Value, "a value must be at most %d bytes of valid UTF-8", MaxLabelValue)
		}
	}
	slices.SortFunc(s.Labels, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return nil
}
