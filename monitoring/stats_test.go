package monitoring

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.UnixMilli(1_700_000_000_000)

func TestNothingMeasuredIsNullAndNotZeroOrNaN(t *testing.T) {
	r := Reading{Time: noon, Dispatcher: &DispatcherReading{Types: []TypeReading{{Type: "hash"}}}}
	body, err := json.Marshal(Summarize(r, nil))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"avg_processing_time_ms", "avg_queue_time_ms"} {
		if v, ok := got[name]; !ok || v != nil {
			t.Errorf("%s of an idle grid: got %v (there: %v), want null", name, v, ok)
		}
	}
	hash := got["per_type"].(map[string]any)["hash"].(map[string]any)
	if v, ok := hash["p99_ms"]; !ok || v != nil {
		t.Errorf("p99_ms of a type without a finished task: got %v, want null", v)
	}
}

func TestAnEmptyReadingIsADocumentWithoutHoles(t *testing.T) {
	body, err := json.Marshal(Summarize(Reading{Time: noon, Uptime: 1500 * time.Millisecond, Missing: []string{"dispatcher: gone"}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"timestamp":1700000000000,"uptime_s":1.5,"missing":["dispatcher: gone"],` +
		`"workers":{"registered":0,"active":0,"by_state":{"ACTIVE":0,"DRAINING":0,"OFFLINE":0,"UNHEALTHY":0},"by_type":{}},` +
		`"task_types":[],"tasks":{"submitted":0,"queued":0,"running":0,"retrying":0,"completed":0,"failed":0,"cancelled":0,"forgotten":0},` +
		`"timeouts":0,"retries":0,"requeues":0,"avg_processing_time_ms":null,"avg_queue_time_ms":null,"per_type":{},"per_worker":{},"dispatcher":null}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

func TestStatsSayWhatTheDispatcherCounted(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	counts := Counts{Submitted: 9, Queued: 1, Running: 1, Retrying: 1, Completed: 3, Failed: 1, Cancelled: 1, Forgotten: 1}
	r := Reading{Time: noon, Dispatcher: &DispatcherReading{
		Stats: DispatcherStats{Leader: "d1", Term: 4, Peers: []string{"d1"}},
		Tally: Tally{
			Counts: counts, Timeouts: 2, Retries: 5, Requeues: 7, Handovers: 8,
			CompletedEver: 4, ProcessingTime: 5 * time.Second, QueueTime: 20 * time.Millisecond,
		},
		Types: []TypeReading{{Type: "wait", Tally: Tally{Counts: counts, Handovers: 2, QueueTime: time.Millisecond}, P50: time.Second, P95: 1100 * time.Millisecond, P99: 1234567 * time.Nanosecond}},
	}}
	workers := []Worker{
		{WorkerID: "a", Registered: true, State: "ACTIVE", Types: []string{"sum", "hash"}, Breaker: "closed", Running: 1, Capacity: 2, Completed: 3, Failed: 4},
		{WorkerID: "b", Registered: true, State: "OFFLINE", Types: []string{"hash"}},
		{WorkerID: "gone", State: "ACTIVE", Types: []string{"upper"}},
	}
	want := Stats{
		Timestamp: noon.UnixMilli(), Missing: []string{},
		Workers: WorkerTotals{
			Registered: 2, Active: 1,
			ByState: map[string]int{"ACTIVE": 1, "OFFLINE": 1, "DRAINING": 0, "UNHEALTHY": 0},
			ByType:  map[string]int{"sum": 1, "hash": 2},
		},
		TaskTypes: []string{"hash", "sum", "wait"},
		Tasks:     counts, Timeouts: 2, Retries: 5, Requeues: 7,
		AvgProcessingTimeMS: ms(1250), AvgQueueTimeMS: ms(2.5),
		PerType: map[string]TypeStats{"wait": {Counts: counts, AvgQueueTimeMS: ms(0.5), P50MS: ms(1000), P95MS: ms(1100), P99MS: ms(1.235)}},
		PerWorker: map[string]WorkerStats{
			"a":    {State: "ACTIVE", Breaker: "closed", Running: 1, Capacity: 2, Completed: 3, Failed: 4},
			"b":    {State: "OFFLINE"},
			"gone": {State: "ACTIVE"},
		},
		Dispatcher: &DispatcherStats{Leader: "d1", Term: 4, Peers: []string{"d1"}},
	}
	if diff := cmp.Diff(want, Summarize(r, workers)); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestConservedMeansEachTaskIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SliceOfN(rapid.Uint64Range(0, 1000), 7, 7).Draw(t, "counts")
		c := Counts{Queued: n[0], Running: n[1], Retrying: n[2], Completed: n[3], Failed: n[4], Cancelled: n[5], Forgotten: n[6]}
		for _, v := range n {
			c.Submitted += v
		}
		if !c.Conserved() {
			t.Fatalf("%+v: got not conserved", c)
		}
		for _, p := range []*uint64{&c.Submitted, &c.Queued, &c.Running, &c.Retrying, &c.Completed, &c.Failed, &c.Cancelled, &c.Forgotten} {
			*p++
			if c.Conserved() {
				t.Fatalf("%+v: one too many somewhere: got conserved", c)
			}
			*p--
		}
	})
}

func TestJoinWorkers(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	tests := []struct {
		name  string
		views [][]Entry
		links []Link
		check func(Worker) bool
	}{
		{
			name:  "ActiveForOneIsActive",
			views: [][]Entry{{{WorkerID: "w", Lease: "l", State: "OFFLINE"}}, {{WorkerID: "w", Lease: "l", State: "ACTIVE"}}},
			check: func(w Worker) bool { return w.State == "ACTIVE" },
		},
		{
			name:  "DrainingForOneIsDraining",
			views: [][]Entry{{{WorkerID: "w", Lease: "l", State: "ACTIVE"}}, {{WorkerID: "w", Lease: "l", State: "DRAINING"}}},
			check: func(w Worker) bool { return w.State == "DRAINING" },
		},
		{
			name: "LatestHeartbeatCounts",
			views: [][]Entry{
				{{WorkerID: "w", Lease: "l", LastHeartbeat: at(-9), Running: 1, RegisteredTime: at(-20)}},
				{{WorkerID: "w", Lease: "l", LastHeartbeat: at(-2), Running: 3, RegisteredTime: at(-30)}},
			},
			check: func(w Worker) bool {
				return w.LastHeartbeatAgeMS == 2000 && w.Running == 3 && w.RegisteredTime == at(-20).UnixMilli()
			},
		},
		{
			name: "AnOlderLeaseIsAnotherProcess",
			views: [][]Entry{
				{{WorkerID: "w", Lease: "old", State: "DRAINING", Address: "a:1", RegisteredTime: at(-20)}},
				{{WorkerID: "w", Lease: "new", State: "ACTIVE", Address: "a:2", RegisteredTime: at(-3)}},
			},
			check: func(w Worker) bool { return w.State == "ACTIVE" && w.Address == "a:2" },
		},
		{
			name:  "TheDispatcherTellsTheBreaker",
			views: [][]Entry{{{WorkerID: "w", State: "ACTIVE", Running: 9}}},
			links: []Link{{Entry: Entry{WorkerID: "w", State: "UNHEALTHY"}, Breaker: "open", Error: "refused", Running: 2, Completed: 5, Failed: 6}},
			check: func(w Worker) bool {
				return w.Registered && w.State == "ACTIVE" && w.Breaker == "open" && w.Error == "refused" && w.Running == 2 && w.Completed == 5 && w.Failed == 6
			},
		},
		{
			name:  "KnownToTheDispatcherOnlyIsNotRegistered",
			views: [][]Entry{{}},
			links: []Link{{Entry: Entry{WorkerID: "w", State: "ACTIVE"}, Breaker: "closed"}},
			check: func(w Worker) bool { return !w.Registered && w.Breaker == "closed" },
		},
		{
			name:  "BeforeAnyNameServiceAnsweredTheDispatchersWordCounts",
			links: []Link{{Entry: Entry{WorkerID: "w", State: "ACTIVE"}}},
			check: func(w Worker) bool { return w.Registered },
		},
		{
			name:  "AClockThatIsAheadMakesNoNegativeAge",
			views: [][]Entry{{{WorkerID: "w", LastHeartbeat: at(5)}}},
			check: func(w Worker) bool { return w.LastHeartbeatAgeMS == 0 },
		},
		{
			name:  "ALoadThatIsNoNumberIsZero",
			views: [][]Entry{{{WorkerID: "w", Load: math.NaN()}}},
			check: func(w Worker) bool { return w.Load == 0 },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Whichever name service is asked first must make no difference.
			for _, views := range [][][]Entry{tt.views, reversed(tt.views)} {
				r := Reading{Time: noon, NameServices: views}
				if tt.links != nil {
					r.Dispatcher = &DispatcherReading{Links: tt.links}
				}
				workers := JoinWorkers(r)
				if len(workers) != 1 || !tt.check(workers[0]) {
					t.Errorf("joining %+v and %+v: got %+v", views, tt.links, workers)
				}
			}
		})
	}
}

func reversed(views [][]Entry) [][]Entry {
	r := slices.Clone(views)
	slices.Reverse(r)
	return r
}

func TestWorkersComeInTheOrderOfTheirIDs(t *testing.T) {
	r := Reading{Time: noon, NameServices: [][]Entry{{{WorkerID: "c"}, {WorkerID: "a"}}}, Dispatcher: &DispatcherReading{Links: []Link{{Entry: Entry{WorkerID: "b"}}}}}
	var ids []string
	for _, w := range JoinWorkers(r) {
		ids = append(ids, w.WorkerID)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(ids, want) {
		t.Errorf("ids: got %q, want %q", ids, want)
	}
}
