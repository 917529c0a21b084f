package simulation

import (
	"time"

	"taskgrid/dispatcher/core"
	"taskgrid/nameservice"
)

// directory is what the dispatcher learns from the name services, and whom it dials for it.
type directory struct {
	dispatcher *dispatcher
	view       *core.View
	known      map[string]core.WorkerInfo // as the scheduler was told
	dials      map[string]dial            // the latest one to each worker
	open       map[string]*stream         // and the stream that came of it
	dialled    int
}

// dial is the keeping of a stream to one worker process.
type dial struct {
	worker core.WorkerInfo
	number int
}

// begin starts with nothing, as a new leader does.
func (y *directory) begin() {
	y.view, y.known, y.dials = core.NewView(), map[string]core.WorkerInfo{}, map[string]dial{}
	y.open = map[string]*stream{}
	y.dispatcher.referee.listed(y.known)
	for _, ns := range y.dispatcher.nameservices {
		y.watch(ns)
	}
}

// watch follows a name service. While it is away, what it said stays in use.
func (y *directory) watch(ns *nameService) {
	d := y.dispatcher
	lost := func(string) {
		y.view.Away(ns.name)
		y.changed()
		d.later(200*time.Millisecond, func() { y.watch(ns) })
	}
	var s *stream
	s, ok := d.network.open(d.process, ns.process, lost, func(string) { ns.unwatch(s) })
	if !ok {
		lost("")
		return
	}
	s.send(d.process, func() {
		ns.watch(s, func(v nameservice.View, snapshot bool) {
			list := make([]core.WorkerInfo, 0, len(v.Workers))
			for _, w := range v.Workers {
				list = append(list, workerInfo(w))
			}
			y.view.Update(ns.name, snapshot, v.Settled, list, v.Removed)
			y.changed()
		})
	})
}

func workerInfo(w nameservice.Worker) core.WorkerInfo {
	state := map[nameservice.State]core.WorkerState{
		nameservice.Active: core.WorkerActive, nameservice.Draining: core.WorkerDraining,
		nameservice.Unhealthy: core.WorkerUnhealthy, nameservice.Offline: core.WorkerOffline,
	}[w.State]
	return core.WorkerInfo{ID: w.ID, LeaseID: w.Lease, Address: w.Address, Types: w.Types, Capacity: int(w.Capacity), State: state}
}

// changed tells the scheduler what is different, and dials whoever is new.
func (y *directory) changed() {
	d := y.dispatcher
	if d.scheduler == nil {
		return
	}
	changed, gone := y.view.Changes()
	for _, id := range gone {
		d.say("dispatcher: the name service knows no %s any more", id)
		delete(y.known, id)
		y.hangUp(id)
		d.referee.listed(y.known)
		d.step(func(s *core.Scheduler) { s.RemoveWorker(id) })
	}
	for _, info := range changed {
		d.say("dispatcher: the name service says %s is %v at %s", info.ID, info.State, info.Address)
		y.known[info.ID] = info
		d.referee.listed(y.known)
		d.step(func(s *core.Scheduler) { s.SetWorker(info) })
		if as := y.dials[info.ID]; as.worker.LeaseID != info.LeaseID || as.worker.Address != info.Address {
			y.hangUp(info.ID)
			y.dialled++
			as = dial{info, y.dialled}
			y.dials[info.ID] = as
			d.later(d.upTo(20*time.Millisecond), func() { y.dial(as) })
		}
	}
}

// superseded tells whether another process of the worker is dialled by now, or none.
func (y *directory) superseded(as dial) bool { return y.dials[as.worker.ID].number != as.number }

// hangUp ends the keeping of a stream to a worker.
func (y *directory) hangUp(id string) {
	delete(y.dials, id)
	if s := y.open[id]; s != nil {
		delete(y.open, id)
		s.cut("the dispatcher hung up")
	}
}

// link is a Process stream, seen from the dispatcher.
type link struct {
	directory *directory
	dial      dial
	worker    *worker // whoever listens there
	stream    *stream
	id        core.Link // 0 until the right Hello has come
}

// dial opens a stream to a worker, if it can be reached, and tries again later otherwise.
func (y *directory) dial(as dial) {
	d := y.dispatcher
	if y.superseded(as) {
		return
	}
	again := func(why string, pause time.Duration) {
		d.step(func(s *core.Scheduler) { s.Unreachable(as.worker.ID, as.worker.LeaseID, why) })
		d.later(pause, func() { y.dial(as) })
	}
	wk := d.hosts[as.worker.Address]
	if wk == nil {
		again("connection refused", 100*time.Millisecond+d.upTo(2*time.Second))
		return
	}
	l := &link{directory: y, dial: as, worker: wk}
	var s *stream
	s, ok := d.network.open(d.process, wk.process, func(why string) { l.broke(why) }, func(string) { wk.detach(s) })
	if !ok {
		again("connection refused", 100*time.Millisecond+d.upTo(2*time.Second))
		return
	}
	l.stream, y.open[as.worker.ID] = s, s
	s.send(d.process, func() {
		h := wk.attach(s, l)
		d.say("%s: says Hello: runs %d, %d outcomes", wk.id, len(h.held), len(h.outcomes))
		s.send(wk.process, func() { l.hello(h) })
	})
}

// hello takes a worker's Hello. If it is another worker than the one that was dialled, or another process of it, or if
// that is dialled anew by now, the stream is of no use.
func (l *link) hello(h hello) {
	d, w := l.directory.dispatcher, l.dial.worker
	if l.directory.superseded(l.dial) {
		return
	}
	if h.id != w.ID || h.lease != w.LeaseID {
		if d.bug != anyHello {
			l.stream.cut("it is another worker")
			return
		}
		h.id, h.lease = w.ID, w.LeaseID
	}
	d.step(func(s *core.Scheduler) {
		id, err := s.Connect(h.id, h.lease, h.window, h.held, h.outcomes)
		if err != nil {
			d.say("%s: stream refused: %v", w.ID, err)
			l.stream.cut("refused")
			return
		}
		l.id = id
		d.links[id] = l
	})
}

// send carries messages to the worker.
func (l *link) send(messages []core.Message) {
	wk, s := l.worker, l.stream
	s.send(l.directory.dispatcher.process, func() { wk.receive(s, messages) })
}

// heard takes what the worker said.
func (l *link) heard(do func(s *core.Scheduler, link core.Link) string) {
	if l.id != 0 {
		l.directory.dispatcher.step(func(s *core.Scheduler) { do(s, l.id) })
	}
}

// broke is when the dispatcher notices that the stream is broken; then it dials again.
func (l *link) broke(why string) {
	d, w := l.directory.dispatcher, l.dial.worker
	if l.id != 0 {
		d.step(func(s *core.Scheduler) { s.Disconnect(l.id, why, true) })
		delete(d.links, l.id)
	} else {
		d.step(func(s *core.Scheduler) { s.Unreachable(w.ID, w.LeaseID, why) })
	}
	d.later(d.upTo(200*time.Millisecond), func() { l.directory.dial(l.dial) })
}
