package core

import (
	"testing"
	"time"
)

// drains hands an assignment back as a worker does that drains.
func (w *fakeWorker) drains(m Message) {
	w.Helper()
	w.do(func() {
		w.s.Drains(w.link)
		if odd := w.s.Refused(w.link, m.Task, m.Token, "the worker drains"); odd != "" {
			w.Errorf("refused %d: odd: %s", m.Task, odd)
		}
	})
}

// TestAWorkerThatSaysItDrainsIsHandedNothingMore: whatever the name service says of it, and while what it runs goes on.
func TestAWorkerThatSaysItDrainsIsHandedNothingMore(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 2, "hash")
	runs, waits := l.submit(Spec{AttemptTimeout: time.Hour}), l.submit(Spec{AttemptTimeout: time.Hour})
	got := w.heard(Assign)
	w.begin(got[0])
	w.drains(got[1])
	for range 100 {
		l.pass(refusalPause)
		w.register() // the name service says ACTIVE, as before
		w.none("which drains")
	}
	l.expect(Queued, waits)
	if odd := w.end(got[0], EndResult, "done"); odd != "" {
		t.Errorf("the outcome of what it ran: odd: %s", odd)
	}
	l.expect(Completed, runs)
	w.none("with all slots free")

	b := l.worker("b", 1, "hash")
	b.finish(b.one())
	l.expect(Completed, waits)
	l.idle()
}

// TestAWorkerThatDrainedIsTriedAgain: when it, or the name service, says something new.
func TestAWorkerThatDrainedIsTriedAgain(t *testing.T) {
	for name, change := range map[string]func(*fakeWorker){
		"with its next stream": func(w *fakeWorker) { w.hello(0, nil, nil) },
		"under another lease": func(w *fakeWorker) {
			w.info.LeaseID = "another"
			w.register()
			w.hello(0, nil, nil)
		},
		"when the name service takes DRAINING back": func(w *fakeWorker) {
			w.state(WorkerDraining)
			w.none("which drains")
			w.state(WorkerActive)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeader(t)
			w := l.worker("a", 1, "hash")
			id := l.submit(Spec{})
			w.drains(w.one())
			l.pass(time.Minute)
			w.none("which drains")
			change(w)
			w.finish(w.one())
			l.expect(Completed, id)
			l.idle()
		})
	}
}

// TestAWorkerThatDrainsIsAcknowledgedAtOnce: it waits for that before it ends.
func TestAWorkerThatDrainsIsAcknowledgedAtOnce(t *testing.T) {
	l := newLeader(t)
	w := l.worker("a", 1, "hash")
	l.s.Take()
	l.s.send(l.s.byLink[w.link], Message{Kind: Acknowledge})
	if _, links := l.s.Take(); len(links) != 1 || !l.s.Patient(w.link) {
		t.Errorf("links %v, patient %v: an acknowledgement waits for something to go with", links, l.s.Patient(w.link))
	}
	l.s.Drains(w.link)
	if _, links := l.s.Take(); len(links) != 1 || l.s.Patient(w.link) {
		t.Errorf("links %v, patient %v: the acknowledgement of one that drains goes at once", links, l.s.Patient(w.link))
	}
}
