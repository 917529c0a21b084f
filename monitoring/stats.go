package monitoring

import (
	"math"
	"slices"
	"time"
)

// Stats is the document of GET /stats. Names that end in _ms or _s are milliseconds or seconds; a time that nothing
// has been measured for yet is null. Where a source does not answer, Missing names it, and what comes from it is the
// last that it said.
type Stats struct {
	// Timestamp is when this was collected, in Unix milliseconds on monitoring's clock.
	Timestamp int64 `json:"timestamp"`
	// UptimeS is how long monitoring has run.
	UptimeS float64 `json:"uptime_s"`
	// Missing says what does not answer at the moment, and why, in words. Empty when everything answers.
	Missing []string `json:"missing"`
	// Workers counts the workers that are registered.
	Workers WorkerTotals `json:"workers"`
	// TaskTypes are the types that the dispatcher knows or a registered worker offers, in order.
	TaskTypes []string `json:"task_types"`
	// Tasks counts the tasks of all types.
	Tasks Counts `json:"tasks"`
	// Timeouts counts the attempts that passed their deadline, ever.
	Timeouts uint64 `json:"timeouts"`
	// Retries counts the attempts that ended in RETRYING, ever.
	Retries uint64 `json:"retries"`
	// Requeues counts the attempts that a worker refused for capacity, ever.
	Requeues uint64 `json:"requeues"`
	// AvgProcessingTimeMS is the mean duration of the last attempt over all COMPLETED tasks ever.
	AvgProcessingTimeMS *float64 `json:"avg_processing_time_ms"`
	// AvgQueueTimeMS is the mean time in the queue over all hand-overs ever.
	AvgQueueTimeMS *float64 `json:"avg_queue_time_ms"`
	// PerType tells of each type that the dispatcher knows.
	PerType map[string]TypeStats `json:"per_type"`
	// PerWorker tells of each worker that is registered or that the dispatcher still knows.
	PerWorker map[string]WorkerStats `json:"per_worker"`
	// Dispatcher describes the replica that leads. Null while none has ever answered.
	Dispatcher *DispatcherStats `json:"dispatcher"`
}

// Counts counts tasks by where they stand. The terminal ones are those still kept; a task that is terminal and no longer
// kept counts as forgotten. So Submitted is always the sum of the seven that follow it.
type Counts struct {
	Submitted uint64 `json:"submitted"`
	Queued    uint64 `json:"queued"`
	Running   uint64 `json:"running"`
	Retrying  uint64 `json:"retrying"`
	Completed uint64 `json:"completed"`
	Failed    uint64 `json:"failed"`
	Cancelled uint64 `json:"cancelled"`
	Forgotten uint64 `json:"forgotten"`
}

// Conserved tells whether every submitted task is counted in exactly one place.
func (c Counts) Conserved() bool {
	return c.Submitted == c.Queued+c.Running+c.Retrying+c.Completed+c.Failed+c.Cancelled+c.Forgotten
}

// TypeStats is what /stats says of one type.
type TypeStats struct {
	Counts
	// AvgProcessingTimeMS and AvgQueueTimeMS are as in [Stats], for this type.
	AvgProcessingTimeMS *float64 `json:"avg_processing_time_ms"`
	AvgQueueTimeMS      *float64 `json:"avg_queue_time_ms"`
	// P50MS, P95MS and P99MS are percentiles of the last attempt's duration over all COMPLETED tasks ever.
	P50MS *float64 `json:"p50_ms"`
	P95MS *float64 `json:"p95_ms"`
	P99MS *float64 `json:"p99_ms"`
}

// WorkerTotals counts the workers that are registered: those that the name services list.
type WorkerTotals struct {
	// Registered counts them in every state, Active those that get tasks.
	Registered int `json:"registered"`
	Active     int `json:"active"`
	// ByState has every state, also those that no worker is in.
	ByState map[string]int `json:"by_state"`
	// ByType counts a worker once for each type that it offers, whatever its state.
	ByType map[string]int `json:"by_type"`
}

// WorkerStats is what /stats says of one worker. See [Worker] for the fields.
type WorkerStats struct {
	State     string `json:"state"`
	Breaker   string `json:"breaker"`
	Running   uint32 `json:"running"`
	Capacity  uint32 `json:"capacity"`
	Completed uint64 `json:"completed"`
	Failed    uint64 `json:"failed"`
}

// DispatcherStats is what /stats says of the dispatcher.
type DispatcherStats struct {
	// ID is the replica that answered, State its part in the raft group: "leader", "follower", "candidate".
	ID    string `json:"id"`
	State string `json:"state"`
	// Leader is the id of the replica that leads; empty when none does.
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	// Peers are the ids of all replicas.
	Peers []string `json:"peers"`
	// UptimeS is how long the replica that answered has run.
	UptimeS float64 `json:"uptime_s"`
	Version string  `json:"version"`
	// FirstEvent and LastEvent are the sequence numbers of the oldest and the newest event that GET /events can give.
	FirstEvent uint64 `json:"first_event"`
	LastEvent  uint64 `json:"last_event"`
	// Oddities counts answers of workers that did not count, by reason, since that replica started.
	Oddities map[string]uint64 `json:"oddities"`
}

// Tally is what the dispatcher counts for one type, or for all.
type Tally struct {
	Counts
	// Since the grid began: attempts past their deadline, attempts that were retried, refusals, hand-overs.
	Timeouts, Retries, Requeues, Handovers uint64
	// CompletedEver counts COMPLETED tasks, the forgotten ones included; ProcessingTime is the sum of their durations.
	CompletedEver  uint64
	ProcessingTime time.Duration
	// QueueTime is the sum of the waiting times of all hand-overs.
	QueueTime time.Duration
}

// TypeReading is what the dispatcher says of one type. A percentile of 0 or less is one that it does not have.
type TypeReading struct {
	Type          string
	Tally         Tally
	P50, P95, P99 time.Duration
}

// DispatcherReading is what the dispatcher says of itself.
type DispatcherReading struct {
	Stats DispatcherStats
	Tally Tally
	Types []TypeReading
	Links []Link
}

// Reading is what all sources said last.
type Reading struct {
	// Time is when it was collected, Uptime how long monitoring had run by then.
	Time   time.Time
	Uptime time.Duration
	// Missing names the sources that do not answer.
	Missing []string
	// Dispatcher is nil while it has never answered.
	Dispatcher *DispatcherReading
	// NameServices has the entries of each name service that ever answered.
	NameServices [][]Entry
}

// Summarize makes the document of /stats from a reading and from its workers, as [JoinWorkers] gives them.
func Summarize(r Reading, workers []Worker) Stats {
	s := Stats{
		Timestamp: r.Time.UnixMilli(),
		UptimeS:   seconds(r.Uptime),
		Missing:   append([]string{}, r.Missing...),
		Workers:   totals(workers),
		PerType:   map[string]TypeStats{},
		PerWorker: map[string]WorkerStats{},
	}
	for _, w := range workers {
		s.PerWorker[w.WorkerID] = WorkerStats{w.State, w.Breaker, w.Running, w.Capacity, w.Completed, w.Failed}
	}
	if r.Dispatcher != nil {
		s.addDispatcher(*r.Dispatcher)
	}
	s.TaskTypes = taskTypes(s.PerType, workers)
	return s
}

func (s *Stats) addDispatcher(d DispatcherReading) {
	s.Dispatcher = &d.Stats
	s.Tasks = d.Tally.Counts
	s.Timeouts, s.Retries, s.Requeues = d.Tally.Timeouts, d.Tally.Retries, d.Tally.Requeues
	s.AvgProcessingTimeMS = mean(d.Tally.ProcessingTime, d.Tally.CompletedEver)
	s.AvgQueueTimeMS = mean(d.Tally.QueueTime, d.Tally.Handovers)
	for _, t := range d.Types {
		s.PerType[t.Type] = TypeStats{
			Counts:              t.Tally.Counts,
			AvgProcessingTimeMS: mean(t.Tally.ProcessingTime, t.Tally.CompletedEver),
			AvgQueueTimeMS:      mean(t.Tally.QueueTime, t.Tally.Handovers),
			P50MS:               known(t.P50), P95MS: known(t.P95), P99MS: known(t.P99),
		}
	}
}

func totals(workers []Worker) WorkerTotals {
	t := WorkerTotals{ByState: map[string]int{}, ByType: map[string]int{}}
	for _, state := range workerStates {
		t.ByState[state] = 0
	}
	for _, w := range workers {
		if !w.Registered {
			continue
		}
		t.Registered++
		t.ByState[w.State]++
		for _, typ := range w.Types {
			t.ByType[typ]++
		}
	}
	t.Active = t.ByState[stateActive]
	return t
}

func taskTypes(known map[string]TypeStats, workers []Worker) []string {
	types := []string{}
	for t := range known {
		types = append(types, t)
	}
	for _, w := range workers {
		if w.Registered {
			types = append(types, w.Types...)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// mean returns sum ÷ n in milliseconds, or nil when n is 0.
func mean(sum time.Duration, n uint64) *float64 {
	if n == 0 {
		return nil
	}
	ms := milliseconds(float64(sum) / float64(n))
	return &ms
}

// known returns d in milliseconds, or nil when there is none.
func known(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	ms := milliseconds(float64(d))
	return &ms
}

// milliseconds rounds nanoseconds to milliseconds with three decimals, that is, to a microsecond.
func milliseconds(ns float64) float64 {
	return math.Round(ns/float64(time.Microsecond)) / 1000
}

// seconds rounds d to a millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Milliseconds()) / 1000
}
