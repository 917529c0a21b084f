package core

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// TypeStats counts the tasks of one type. Those that count what happened never go down, not even through a restart.
type TypeStats struct {
	Type string

	Submitted uint64
	Queued    uint64 // now, CREATED ones included
	Running   uint64 // now
	Retrying  uint64 // now
	Completed uint64 // kept now
	Failed    uint64 // kept now
	Cancelled uint64 // kept now
	Forgotten uint64

	CompletedTotal uint64
	FailedTotal    uint64
	CancelledTotal uint64
	Timeouts       uint64 // attempts that passed their deadline
	Retries        uint64 // attempts that ended in RETRYING
	Requeues       uint64 // attempts refused for capacity
	Handovers      uint64

	ProcessingTime time.Duration // sum over COMPLETED tasks: the last attempt's duration
	QueueTime      time.Duration // sum over hand-overs: the time since the task was queued
	Latency        Histogram     // over COMPLETED tasks: the last attempt's duration
}

// now returns the count that tasks in the state stand in; nil for those that no count holds.
func (st *TypeStats) now(s State) *uint64 {
	switch s {
	case Created, Queued:
		return &st.Queued
	case Dispatched, Processing, Timeout:
		return &st.Running
	case Retrying:
		return &st.Retrying
	case Completed:
		return &st.Completed
	case Failed:
		return &st.Failed
	case Cancelled:
		return &st.Cancelled
	}
	return nil
}

func (st *TypeStats) leave(s State) {
	if n := st.now(s); n != nil {
		*n--
	}
}

func (st *TypeStats) enter(s State) {
	if n := st.now(s); n != nil {
		*n++
	}
	switch s {
	case Completed:
		st.CompletedTotal++
	case Failed:
		st.FailedTotal++
	case Cancelled:
		st.CancelledTotal++
	}
}

// counters lists the fields for the snapshot, in its order.
func (st *TypeStats) counters() []*uint64 {
	return []*uint64{
		&st.Submitted, &st.Queued, &st.Running, &st.Retrying, &st.Completed, &st.Failed, &st.Cancelled, &st.Forgotten,
		&st.CompletedTotal, &st.FailedTotal, &st.CancelledTotal, &st.Timeouts, &st.Retries, &st.Requeues, &st.Handovers,
	}
}

// Histogram counts durations in buckets that grow by an eighth of a power of two, so that a percentile is within 10 % of
// the true one. The layout is that of HDR histograms with three bits: the position of the leading bit, then the three
// bits after it. Durations count in microseconds; all from 2^36 µs (19 hours) on share the last bucket.
type Histogram struct {
	buckets [histogramBuckets]uint64
	count   uint64
}

const (
	histogramBits    = 3
	histogramBuckets = 34<<histogramBits + 1
)

func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 1<<histogramBits {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - histogramBits
	return min((shift+1)<<histogramBits+int(us>>shift)-1<<histogramBits, histogramBuckets-1)
}

// bucketMiddle returns the middle of a bucket.
func bucketMiddle(i int) time.Duration {
	if i < 2<<histogramBits {
		return time.Duration(i) * time.Microsecond
	}
	shift := i>>histogramBits - 1
	low := uint64(1<<histogramBits+i&(1<<histogramBits-1)) << shift
	return time.Duration(low+1<<shift/2) * time.Microsecond
}

func (h *Histogram) add(d time.Duration) {
	h.buckets[bucketOf(d)]++
	h.count++
}

// Quantile returns the duration below which the share q (0 to 1) of all lie; 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.count)))
	var seen uint64
	for i, n := range h.buckets {
		seen += n
		if n > 0 && seen >= rank {
			return bucketMiddle(i)
		}
	}
	return bucketMiddle(histogramBuckets - 1)
}

// Stats returns a copy of the counts of every known type, in the order of the type.
func (m *Machine) Stats() []TypeStats {
	all := make([]TypeStats, 0, len(m.types))
	for _, st := range m.types {
		all = append(all, *st)
	}
	slices.SortFunc(all, func(a, b TypeStats) int { return strings.Compare(a.Type, b.Type) })
	return all
}
