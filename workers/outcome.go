package workers

import "time"

// Ending says how an attempt ended.
type Ending uint8

// The endings. What each error means for the task stands at ErrorKind in worker.proto.
const (
	Completed Ending = iota
	FailedInvalidPayload
	FailedRetryable
	FailedPermanent
)

// String returns the ending as metrics and logs name it.
func (e Ending) String() string {
	return [...]string{"completed", "invalid_payload", "retryable", "permanent"}[e]
}

// Outcome is what came of an attempt.
type Outcome struct {
	Key
	Ending  Ending
	Result  string        // when Completed
	Message string        // otherwise: why, in words for the submitter
	Elapsed time.Duration // how long the handler ran
}

// bytes is about what an outcome takes in memory and on the wire.
func (o Outcome) bytes() int { return 64 + len(o.Result) + len(o.Message) }

// ledger keeps outcomes until they are acknowledged, oldest first. It is bounded in number and in bytes; what is over
// the bound pushes out the oldest. An outcome that is lost this way was sent at least once, and if that did not arrive
// either, the dispatcher runs the attempt again.
type ledger struct {
	most, mostBytes int

	entries []entry        // in the order of adding; the acknowledged ones among them wait for their turn to leave
	first   uint64         // the number of entries[0]; entries are numbered on and on
	number  map[Key]uint64 // of each outcome that is kept
	bytes   int            // of all outcomes that are kept
}

type entry struct {
	Outcome
	kept bool
}

func newLedger(most, mostBytes int) ledger {
	return ledger{most: most, mostBytes: mostBytes, number: map[Key]uint64{}}
}

func (l *ledger) has(k Key) bool {
	_, ok := l.number[k]
	return ok
}

func (l *ledger) len() int { return len(l.number) }

// add keeps an outcome and returns how many older ones had to go for it. entries, with its gaps, obeys the bound too:
// an outcome also goes when `most` later ones have come since.
func (l *ledger) add(o Outcome) (dropped int) {
	l.number[o.Key] = l.first + uint64(len(l.entries))
	l.entries = append(l.entries, entry{o, true})
	l.bytes += o.bytes()
	for len(l.entries) > 1 && (len(l.entries) > l.most || l.bytes > l.mostBytes) {
		l.remove(l.entries[0].Key)
		dropped++
	}
	return dropped
}

// remove forgets an outcome, if it is kept.
func (l *ledger) remove(k Key) {
	n, ok := l.number[k]
	if !ok {
		return
	}
	delete(l.number, k)
	e := &l.entries[n-l.first]
	l.bytes -= e.bytes()
	*e = entry{}
	for len(l.entries) > 0 && !l.entries[0].kept {
		l.entries = l.entries[1:]
		l.first++
	}
}

// all lists the outcomes, oldest first.
func (l *ledger) all() []Outcome {
	list := make([]Outcome, 0, len(l.number))
	for _, e := range l.entries {
		if e.kept {
			list = append(list, e.Outcome)
		}
	}
	return list
}
