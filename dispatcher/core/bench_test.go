package core

import (
	"fmt"
	"testing"
	"time"
)

// payload is that of the measured task: 32 bytes.
const payload = "abcdefghijklmnopqrstuvwxyz012345"

// kept is how many finished tasks the benchmarks keep: enough that the oldest have left the processor's caches.
const kept = 10_000

func measuredSpec(tb testing.TB) *Spec {
	return complete(tb, Spec{Type: "reverse", Payload: payload, Key: "ABCDEFGHIJKLMNOP-1", RequestID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
}

// life is what the journal holds of a task that goes well.
func life(spec *Spec, id uint64) []record {
	token := NewToken(1, 1)
	return []record{
		&Submit{At: 1, Spec: spec},
		&Dispatch{At: 2, Task: id, Token: token, WorkerID: "reverse-1", LeaseID: "lease-reverse-1"},
		&Start{At: 3, Task: id, Token: token},
		&End{At: 4, Task: id, Token: token, Duration: time.Millisecond, How: EndResult, Text: payload},
	}
}

// BenchmarkApply is the whole life of a task in the machine: four records, and one that forgets an old task.
func BenchmarkApply(b *testing.B) {
	m := NewMachine(100_000)
	mustApply(b, m, &KnownType{Type: "reverse"})
	spec := *measuredSpec(b)
	id := uint64(0)
	for b.Loop() {
		id++
		spec.Key = fmt.Sprint("ABCDEFGHIJKLMNOP-", id)
		for _, rec := range life(&spec, id) {
			mustApply(b, m, rec)
		}
		if id > kept {
			mustApply(b, m, &Forget{Count: 1})
		}
	}
}

func mustApply(tb testing.TB, m *Machine, rec record) {
	if _, err := m.Apply(Encode(rec)); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkEncode and BenchmarkDecode are over the four records of one task's life.
func BenchmarkEncode(b *testing.B) {
	records := life(measuredSpec(b), 123_456)
	var e Encoder
	b.ReportAllocs()
	bytes := 0
	for b.Loop() {
		bytes = 0
		for _, rec := range records {
			bytes += len(e.Encode(rec))
		}
	}
	b.ReportMetric(float64(bytes), "bytes/task")
}

func BenchmarkDecode(b *testing.B) {
	var encoded [][]byte
	for _, rec := range life(measuredSpec(b), 123_456) {
		encoded = append(encoded, Encode(rec))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range encoded {
			if _, err := decode(data); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkQueue is a push and a pop with so many tasks in the queue.
func BenchmarkQueue(b *testing.B) {
	for _, held := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint("held=", held), func(b *testing.B) {
			q := &queue{typ: "reverse"}
			task := &Task{Spec: measuredSpec(b)}
			for range held {
				q.push(task)
			}
			live := func(*Task) bool { return true }
			b.ReportAllocs()
			for b.Loop() {
				q.push(task)
				q.pop(q.front(live))
			}
		})
	}
}

// BenchmarkChoice is the choice of one of so many workers, all of which are ready, and what follows from it for the next.
func BenchmarkChoice(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint("workers=", n), func(b *testing.B) {
			l := newLeader(b)
			for i := range n {
				l.worker(fmt.Sprint("reverse-", i), 2, "reverse")
			}
			q, task := l.s.queue("reverse"), &Task{ID: 1, Spec: measuredSpec(b)}
			b.ReportAllocs()
			for b.Loop() {
				w := l.s.pick(q, task)
				if w == nil {
					b.Fatal("no worker was chosen")
				}
				l.s.turns++
				w.turn = l.s.turns
				l.s.touch(w)
			}
		})
	}
}

// BenchmarkTask is the whole life of a task in machine and scheduler, 64 at a time, among so many workers: what the
// dispatcher does for it beside speaking to disk and network.
func BenchmarkTask(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint("workers=", n), func(b *testing.B) {
			core := newMeasuredCore(b, n)
			b.ReportAllocs()
			for b.Loop() {
				core.run(64)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/task")
		})
	}
}

// measuredCore runs tasks through machine and scheduler.
type measuredCore struct {
	*leader
	links []Link
	spec  *Spec
	room  []Message
}

func newMeasuredCore(tb testing.TB, workers int) *measuredCore {
	c := &measuredCore{leader: newLeader(tb, func(cfg *Config) { cfg.MaxFinished = kept }), spec: measuredSpec(tb)}
	c.spec.Key = ""
	for i := range workers {
		id := fmt.Sprint("reverse-", i)
		c.do(func() {
			c.admitted = id
			c.s.SetWorker(WorkerInfo{ID: id, LeaseID: "lease-" + id, Types: []string{"reverse"}, Capacity: 2, State: WorkerActive})
		})
		c.do(func() {
			link, err := c.s.Connect(id, "lease-"+id, 256, nil, nil)
			if err != nil {
				tb.Fatal(err)
			}
			c.links = append(c.links, link)
		})
	}
	return c
}

// apply makes durable what the scheduler proposes, and returns to whom there is something to send.
func (c *measuredCore) apply() []Link {
	c.s.Flush()
	records, send := c.s.Take()
	for len(records) > 0 {
		for _, rec := range records {
			if _, err := c.m.Apply(rec); err != nil {
				c.Fatal(err)
			}
		}
		c.s.Flush()
		var more []Link
		records, more = c.s.Take()
		send = append(send, more...)
	}
	return send
}

// run has n tasks submitted, handed over, begun and completed.
func (c *measuredCore) run(n int) {
	var e Encoder
	c.s.Begin(c.now)
	for range n {
		if _, err := c.m.Apply(e.Encode(&Submit{At: At(c.now), Spec: c.spec})); err != nil {
			c.Fatal(err)
		}
	}
	for done := 0; done < n; {
		ended := c.deliver(c.apply())
		if ended == 0 {
			c.Fatalf("%d of %d tasks are done, and nothing happens", done, n)
		}
		done += ended
	}
	c.deliver(c.apply())
	c.now = c.now.Add(time.Millisecond)
	c.s.Begin(c.now)
	c.s.Tick()
	c.deliver(c.apply())
}

// deliver has the workers behind the links begin and complete what they are assigned, and returns how many that were.
func (c *measuredCore) deliver(links []Link) (ended int) {
	for _, link := range links {
		c.room = c.s.Outbox(link, c.room[:0])
		for _, m := range c.room {
			if m.Kind != Assign {
				continue
			}
			c.s.Started(link, m.Task, m.Token)
			c.s.Outcome(link, Outcome{Task: m.Task, Token: m.Token, How: EndResult, Text: payload, Elapsed: time.Millisecond})
			ended++
		}
	}
	return ended
}

// TestATaskCostsTheCoreFewAllocations bounds what the garbage collector has to do for a task; see docs/performance.md.
func TestATaskCostsTheCoreFewAllocations(t *testing.T) {
	const tasks, bound = 64, 13
	core := newMeasuredCore(t, 1)
	for range 2 * kept / tasks { // until old tasks are forgotten, and nothing grows
		core.run(tasks)
	}
	each := testing.AllocsPerRun(50, func() { core.run(tasks) }) / tasks
	t.Logf("%.2f allocations for a task", each)
	if each > bound {
		t.Errorf("a task costs the core %.2f allocations, want at most %d", each, bound)
	}
}
