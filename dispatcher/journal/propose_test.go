package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// inMemory returns a configuration without disk or network, for a synctest bubble, and the log that it writes.
func inMemory() (Config, *slowLog) {
	store := raft.NewInmemStore()
	log := &slowLog{InmemStore: store}
	return Config{Stores: &Stores{Log: log, Stable: store, Snapshots: raft.NewInmemSnapshotStore()}}, log
}

// slowLog is a log in memory whose disk takes a while.
type slowLog struct {
	*raft.InmemStore
	mu      sync.Mutex
	takes   time.Duration
	entries []int // how many records each entry had
}

func (s *slowLog) StoreLogs(logs []*raft.Log) error {
	s.mu.Lock()
	takes := s.takes
	for _, l := range logs {
		if h, records, err := decodeEntry(l.Data, nil); err == nil && h.kind == kindRecords {
			s.entries = append(s.entries, len(records))
		}
	}
	s.mu.Unlock()
	time.Sleep(takes)
	return s.InmemStore.StoreLogs(logs)
}

func (s *slowLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *slowLog) setTakes(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes = d
}

func TestWhatComesWhileTheDiskIsBusyIsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, log := inMemory()
		j := start(t, cfg, new(book))
		j.lead()
		log.setTakes(10 * time.Millisecond)
		var mu sync.Mutex
		var results []any
		for i := range 100 {
			err := j.Propose([][]byte{[]byte(fmt.Sprint(i)), []byte("and more")}, func(r []any, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil || len(r) != 2 {
					t.Errorf("call %d: %v, %v", i, r, err)
				}
				results = append(results, r...)
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first is on its way, the others wait
		}
		began := time.Now()
		if _, err := j.write("the last"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("all 101 calls took %v, want two writes of 10ms", took)
		}
		mu.Lock()
		defer mu.Unlock()
		for i, r := range results {
			if r != i+1 {
				t.Fatalf("result %d is %v, want %d: each call gets the results of its own records, in order", i, r, i+1)
			}
		}
		if diff := cmp.Diff([]int{2, 199}, log.entries); diff != "" {
			t.Errorf("records in each entry (-want +got):\n%s", diff)
		}
	})
}

func TestAFullEntryIsSentAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, log := inMemory()
		j := start(t, cfg, new(book))
		j.lead()
		log.setTakes(10 * time.Millisecond)
		for range 3 {
			if err := j.Propose([][]byte{make([]byte, largeEntryBytes)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if pending := j.Status().PendingBytes; pending < largeEntryBytes || pending >= 2*largeEntryBytes {
			t.Errorf("%d bytes are pending, want one entry: %d of three are with raft", pending, maxInFlight)
		}
	})
}

// Many small records end an entry at entryBytes; few large ones share one beyond that.
func TestAnEntryOfManyRecordsEndsEarlierThanOneOfFew(t *testing.T) {
	for records, want := range map[int]int{2 * entryRecords: 2, 4: 1} {
		synctest.Test(t, func(t *testing.T) {
			cfg, log := inMemory()
			j := start(t, cfg, new(book))
			j.lead()
			log.setTakes(10 * time.Millisecond)
			before := j.Status().LastIndex
			for range maxInFlight { // the others gather behind these
				if err := j.Propose([][]byte{make([]byte, aheadBytes)}, nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			for range records {
				if err := j.Propose([][]byte{make([]byte, 2*entryBytes/records-100)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			if got := int(j.Status().LastIndex-before) - maxInFlight; got != want {
				t.Errorf("%d records of %d bytes together became %d entries, want %d", records, 2*entryBytes, got, want)
			}
		})
	}
}

func TestPendingBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, log := inMemory()
		cfg.MaxPendingBytes = 10_000
		j := start(t, cfg, new(book))
		j.lead()
		log.setTakes(time.Millisecond)
		taken, refused, answered := 0, 0, 0
		var mu sync.Mutex
		for range 40 {
			err := j.Propose([][]byte{make([]byte, 1000)}, func(_ []any, err error) {
				mu.Lock()
				defer mu.Unlock()
				answered++
			})
			switch {
			case err == nil:
				taken++
			case errors.Is(err, ErrFull):
				refused++
			default:
				t.Fatal(err)
			}
			if pending := j.Status().PendingBytes; pending > cfg.MaxPendingBytes {
				t.Fatalf("%d bytes are pending, at most %d may", pending, cfg.MaxPendingBytes)
			}
		}
		if taken < 9 || refused < 20 {
			t.Errorf("%d taken, %d refused", taken, refused)
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if answered != taken {
			t.Errorf("%d of %d taken calls were answered", answered, taken)
		}
		if _, err := j.write("there is room again"); err != nil {
			t.Error(err)
		}
		if err := j.Propose([][]byte{make([]byte, maxCallBytes)}, nil); err == nil || !strings.Contains(err.Error(), "fit one call") {
			t.Errorf("a call of %d bytes: %v, want it refused", maxCallBytes, err)
		}
	})
}

// TestWhatIsPendingAtTheEndIsAnswered: every call hears once, and what it hears is true.
func TestWhatIsPendingAtTheEndIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, log := inMemory()
		sm := new(book)
		j := start(t, cfg, sm)
		j.lead()
		log.setTakes(10 * time.Millisecond)
		var mu sync.Mutex
		heard := map[string]error{}
		for i := range 10 {
			line := fmt.Sprint(i)
			err := j.Propose([][]byte{[]byte(line)}, func(_ []any, err error) {
				mu.Lock()
				defer mu.Unlock()
				if _, again := heard[line]; again {
					t.Errorf("%q heard twice", line)
				}
				heard[line] = err
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Millisecond)
		}
		j.close()
		if len(heard) != 10 {
			t.Errorf("%d of 10 calls heard", len(heard))
		}
		applied := map[string]bool{}
		for _, l := range sm.all() {
			applied[l] = true
		}
		for line, err := range heard {
			if err == nil != applied[line] || err != nil && !errors.Is(err, ErrNotLeader) {
				t.Errorf("%q: heard %v, applied %v", line, err, applied[line])
			}
		}
		if err := j.Propose(nil, nil); !errors.Is(err, ErrNotLeader) {
			t.Errorf("Propose after the end = %v, want ErrNotLeader", err)
		}
		if s := j.Status(); s.State != "stopped" || s.Leading {
			t.Errorf("Status after the end = %+v", s)
		}
	})
}

// TestARefusedEntryEndsTheSession: a transfer of leadership that fails makes raft refuse entries although this node
// leads on. Nothing behind the first refused one may count, and then a new session begins.
func TestARefusedEntryEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := startCluster(t, 3)
		l := leader(t, nodes)
		before := l.Status().Term
		l.transport.deaf.Store(true)
		transfer := l.raft.Load().LeadershipTransfer()
		var mu sync.Mutex
		var kept []string
		for i := range 300 {
			line := fmt.Sprint(i)
			_ = l.Propose([][]byte{[]byte(line)}, func(_ []any, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					kept = append(kept, line)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		if err := transfer.Error(); err == nil {
			t.Fatal("the transfer went through: nothing was tried")
		}
		synctest.Wait()
		if s := l.Status(); !s.Leading || s.Term != before {
			t.Errorf("in the end %+v, want it to lead in term %d still", s, before)
		}
		if diff := cmp.Diff(kept, l.book.all()); diff != "" {
			t.Errorf("acknowledged and applied differ:\n%s", diff)
		}
		if len(kept) == 300 || len(kept) == 0 {
			t.Errorf("%d of 300 lines were taken", len(kept))
		}
		if len(l.heard) != 3 || l.heard[1].Leading || l.heard[2].Term != before {
			t.Errorf("the leader heard %v, want a gain, a loss and a gain in the same term", l.heard)
		}
	})
}

func TestMetricsSayWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := inMemory()
		registry := prometheus.NewPedanticRegistry()
		cfg.Registerer = registry
		j := start(t, cfg, new(book))
		if _, err := Open(quick(cfg), new(book)); err == nil {
			t.Error("two journals share one registry")
		}
		j.lead()
		for range 3 {
			if _, err := j.write("line"); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.SnapshotNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			m := f.GetMetric()[0]
			switch {
			case m.Histogram != nil:
				got[f.GetName()] = float64(m.Histogram.GetSampleCount())
			case m.Counter != nil:
				got[f.GetName()] = m.Counter.GetValue()
			default:
				got[f.GetName()] = m.Gauge.GetValue()
			}
		}
		want := map[string]float64{
			"taskgrid_journal_applied_index": 6, "taskgrid_journal_appended_bytes_total": 0,
			"taskgrid_journal_batch_bytes": 3, "taskgrid_journal_batch_records": 3, "taskgrid_journal_commit_seconds": 3,
			"taskgrid_journal_leading": 1, "taskgrid_journal_pending_bytes": 0, "taskgrid_journal_term": 2,
			"taskgrid_journal_snapshots_total": 1, "taskgrid_journal_snapshot_seconds": 1, "taskgrid_journal_snapshot_bytes": 115,
		}
		want["taskgrid_journal_appended_bytes_total"] = float64(j.Status().AppendedBytes)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}
