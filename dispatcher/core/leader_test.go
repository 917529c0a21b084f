package core

import (
	"testing"
	"time"
)

// leader drives a Scheduler the way the dispatcher does, with a journal that makes durable what it holds when it is told
// to, and with time that passes when it is told to.
type leader struct {
	testing.TB
	cfg  Config
	m    *Machine
	s    *Scheduler
	term uint64
	now  time.Time

	journal  [][]byte           // proposed, and not durable yet
	sent     map[Link][]Message // and not looked at yet
	breakers map[string]*fakeBreaker
	admitted string // the worker that is being entered

	flushes, flushedAll func() // called before and after each flush, if set
}

// lead begins a leadership over a machine. Each of opts may change the configuration.
func lead(t testing.TB, m *Machine, term uint64, opts ...func(*Config)) *leader {
	l := &leader{TB: t, m: m, term: term, now: start, sent: map[Link][]Message{}, breakers: map[string]*fakeBreaker{}}
	l.cfg = Config{
		AdoptGrace: 10 * time.Second, MaxFinished: 1000, MaxAge: 24 * time.Hour, MaxBytes: 1 << 30, MaxTypes: 100,
		Backoff: func(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond },
		NewBreaker: func(changed func(from, to BreakerState)) Breaker {
			b := &fakeBreaker{now: func() time.Time { return l.now }, changed: changed}
			l.breakers[l.admitted] = b
			return b
		},
		Rand: func(int) int { return 0 },
	}
	for _, opt := range opts {
		opt(&l.cfg)
	}
	l.takeOver(m)
	return l
}

// newLeader leads an empty machine.
func newLeader(t testing.TB, opts ...func(*Config)) *leader {
	return lead(t, NewMachine(100_000), 1, opts...)
}

func (l *leader) takeOver(m *Machine) {
	l.m = m
	l.s = NewScheduler(l.cfg, m, l.term, l.now)
	m.Changed = l.s.Changed
	l.journal, l.sent = nil, map[Link][]Message{}
	l.flush()
}

// restart is a crash: what is not durable is lost, and another leader takes over after a pause, in the next term.
func (l *leader) restart(after time.Duration) {
	l.Helper()
	l.now = l.now.Add(after)
	l.term++
	m := NewMachine(100_000)
	r, w := snapshotPipe(l.m)
	if err := m.Restore(r); err != nil {
		l.Fatal(err)
	}
	if err := <-w; err != nil {
		l.Fatal(err)
	}
	l.takeOver(m)
}

// step calls the scheduler and takes from it what is to be proposed and sent.
func (l *leader) step(do func()) {
	l.s.Begin(l.now)
	do()
	l.flush()
}

func (l *leader) flush() {
	if l.flushes != nil {
		l.flushes()
		defer l.flushedAll()
	}
	l.s.Flush()
	records, links := l.s.Take()
	l.journal = append(l.journal, records...)
	for _, link := range links {
		l.sent[link] = append(l.sent[link], l.s.Outbox(link, nil)...)
	}
}

// commit makes durable what is proposed, and what that leads to.
func (l *leader) commit() {
	l.Helper()
	for len(l.journal) > 0 {
		batch := l.journal
		l.journal = nil
		l.s.Begin(l.now)
		for _, rec := range batch {
			if _, err := l.m.Apply(rec); err != nil {
				l.Fatal(err)
			}
		}
		l.flush()
	}
}

// do is step and commit.
func (l *leader) do(what func()) {
	l.Helper()
	l.step(what)
	l.commit()
}

// pass lets time pass, with ticks as often as the dispatcher makes them.
func (l *leader) pass(d time.Duration) {
	l.Helper()
	end := l.now.Add(d)
	for {
		next := l.now.Add(time.Second / 2)
		if due, ok := l.s.Wake(); ok && due.Before(next) {
			next = due
		}
		if next.After(end) {
			break
		}
		l.now = later(l.now, next)
		l.do(l.s.Tick)
	}
	l.now = end
	l.do(l.s.Tick)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// propose puts records of a client into the journal.
func (l *leader) propose(recs ...record) {
	for _, rec := range recs {
		l.journal = append(l.journal, Encode(rec))
	}
}

func (l *leader) submit(spec Spec) uint64 {
	l.Helper()
	l.propose(&Submit{At: At(l.now), Spec: complete(l, spec)})
	l.commit()
	return l.m.LastID()
}

func (l *leader) cancel(id uint64) {
	l.Helper()
	l.propose(&Cancel{At: At(l.now), Task: id, Reason: "cancelled"})
	l.commit()
}

// expect checks where tasks stand.
func (l *leader) expect(want State, ids ...uint64) {
	l.Helper()
	for _, id := range ids {
		if t := l.m.Task(id); t == nil || t.State != want {
			l.Errorf("task %d: got %v, want %v", id, t, want)
		}
	}
}

// idle checks that the scheduler holds nothing of tasks that are over.
func (l *leader) idle() {
	l.Helper()
	if err := l.s.check(); err != nil {
		l.Error(err)
	}
	if n := len(l.s.flights) + len(l.s.orphans) + len(l.s.waits) + len(l.s.timers); n != 0 {
		l.Errorf("nothing is going on, and there are %d flights, %d orphans, %d waits, %d timers", len(l.s.flights), len(l.s.orphans), len(l.s.waits), len(l.s.timers))
	}
	for id, w := range l.s.workers {
		if w.assigned() != 0 || w.slow != 0 || w.probe != nil {
			l.Errorf("worker %s is idle, and has %d slots taken, %d of them not short, probe %v", id, w.assigned(), w.slow, w.probe)
		}
	}
}

const (
	breakerFaults = 3
	breakerPause  = 5 * time.Second
)
