package simulation

import (
	"fmt"
	"time"

	"taskgrid/client"
	"taskgrid/dispatcher/core"
)

// clientProcess submits tasks on one stream and takes their ends from it, as the client library's Run does: when the
// stream breaks, it opens another and sends again whatever has not ended, under the same keys.
type clientProcess struct {
	*process
	flight *client.Flight[*errand]
	retry  *client.Retry
	stream *stream
}

// errand is a task that somebody wants done, from the wish to its end.
type errand struct {
	spec     *core.Spec
	accepted bool
	ended    int // how often the client was told so
}

func newClient(w *world, i int) *clientProcess {
	c := &clientProcess{process: w.newProcess(fmt.Sprint("client", i)), flight: client.NewFlight[*errand]()}
	c.retry = &client.Retry{Repeatable: true, Started: start}
	c.begin()
	w.after(c.upTo(time.Second), c.connect)
	return c
}

// connect opens the stream, and sends what is unfinished.
func (c *clientProcess) connect() {
	d := c.dispatcher
	s, ok := c.network.open(c.process, d.process, func(string) { c.again(client.InDoubt) }, func(string) {})
	if !ok {
		c.again(client.NotDone)
		return
	}
	c.stream = s
	for _, ref := range c.flight.Unfinished() {
		c.send(ref)
	}
}

// again is what to do when the stream broke, or none came to be.
func (c *clientProcess) again(f client.Failure) {
	c.stream = nil
	pause, again := c.retry.Next(c.clock(), f, true, true, c.Float64())
	if !again {
		c.referee.fail("%s gives up", c.name)
	}
	c.later(pause, c.connect)
}

// submit wants a task done.
func (c *clientProcess) submit(e *errand) {
	ref := c.flight.Add(e)
	if c.stream != nil {
		c.send(ref)
	}
}

func (c *clientProcess) send(ref uint64) {
	s, spec := c.stream, *c.flight.Task(ref).spec
	s.send(c.process, func() { c.dispatcher.serve(&caller{client: c, stream: s, ref: ref}, &spec) })
}

// accepted takes an acknowledgement.
func (c *clientProcess) accepted(s *stream, ref, id uint64) {
	if c.stream != s {
		return
	}
	c.retry.Progress()
	if e := c.flight.Task(ref); e != nil {
		e.accepted = true
		c.flight.Accepted(ref, id)
	}
}

// refused takes a refusal: nobody knows the type yet. Later perhaps.
func (c *clientProcess) refused(s *stream, ref uint64) {
	if c.stream != s {
		return
	}
	if e, ok := c.flight.Refused(ref); ok {
		c.later(time.Second, func() { c.submit(e) })
	}
}

// ended takes the end of a task.
func (c *clientProcess) ended(s *stream, t *core.Task) {
	if c.stream != s {
		return
	}
	c.referee.announced(t)
	for _, e := range c.flight.Ended(t.ID) {
		e.ended++
	}
}

// cancel asks for the end of one of the newest tasks, once, whatever comes of it.
func (c *clientProcess) cancel(back uint64) {
	d := c.dispatcher
	c.network.call(c.process, d.process, callTimeout, func() func() {
		if id := d.machine.LastID() - back; d.scheduler != nil && id >= 1 && id <= d.machine.LastID() {
			d.disk.propose([][]byte{core.Encode(&core.Cancel{At: core.At(d.clock()), Task: id, Reason: "cancelled"})}, nil)
		}
		return func() {}
	}, func(client.Failure) {})
}

// caller is who submitted something, as the dispatcher sees it.
type caller struct {
	client *clientProcess
	stream *stream
	ref    uint64
}

// serve takes a submission. Its id is given out when it is durable, its end is told when that is.
func (d *dispatcher) serve(c *caller, spec *core.Spec) {
	answer := func(do func()) { c.stream.send(d.process, do) }
	switch {
	case d.scheduler == nil:
		return
	case !d.machine.Known(spec.Type):
		answer(func() { c.client.refused(c.stream, c.ref) })
		return
	}
	d.disk.propose([][]byte{core.Encode(&core.Submit{At: core.At(d.clock()), Spec: spec})}, func(results []any) {
		if results == nil {
			return // the stream is broken too
		}
		submitted := results[0].(core.Submitted)
		d.referee.acknowledged(spec, submitted)
		if submitted.Task == nil {
			return
		}
		id := submitted.Task.ID
		answer(func() { c.client.accepted(c.stream, c.ref, id) })
		tell := func(t *core.Task) { answer(func() { c.client.ended(c.stream, t) }) }
		switch t := d.machine.Task(id); {
		case t == nil:
			c.stream.cut("the task is forgotten already")
		case t.State.Terminal():
			tell(t)
		default:
			d.told[id] = append(d.told[id], tell)
		}
	})
}
