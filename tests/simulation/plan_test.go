package simulation

import (
	"fmt"
	"time"

	"taskgrid/dispatcher/core"
	"taskgrid/tests/checker"
)

// item is something that somebody does, or that goes wrong.
type item struct {
	at   time.Duration
	name string
	do   func()
}

// plan draws what happens within a time: tasks, cancels and faults. All that is random about an item is drawn here,
// so that leaving out one changes none of the others.
func (w *world) plan(within time.Duration) []item {
	rng := w.chanceOf("plan")
	items := w.tasks(rng, within)
	for range rng.IntN(20) {
		c, back := w.clients[rng.IntN(len(w.clients))], uint64(rng.IntN(8))
		items = append(items, item{rng.upTo(within), fmt.Sprintf("%s cancels the task %d before the newest", c.name, back), func() { c.cancel(back) }})
	}
	for range rng.IntN(25) {
		f := w.fault(rng)
		f.at = rng.upTo(within)
		items = append(items, f)
	}
	return items
}

// tasks draws what clients submit: many come at once, some much later; some twice under one key.
func (w *world) tasks(rng *dice, within time.Duration) (items []item) {
	for i := range 3 + rng.IntN(25) {
		spec := &core.Spec{
			Type: string(rune('a' + rng.IntN(3))), Payload: fmt.Sprint(i), MaxAttempts: uint32(1 + rng.IntN(4)), Key: fmt.Sprint("key", i),
			AttemptTimeout: 100*time.Millisecond + rng.upTo(5*time.Second), Priority: int32(rng.IntN(10)),
		}
		if rng.chance(20) {
			spec.QueueTimeout = 100*time.Millisecond + rng.upTo(10*time.Second)
		}
		for range 1 + rng.IntN(5)/4 {
			c, e := w.clients[rng.IntN(len(w.clients))], &errand{spec: spec}
			w.referee.errands = append(w.referee.errands, e)
			items = append(items, item{rng.upTo(within), fmt.Sprintf("%s submits %s, type %s", c.name, spec.Key, spec.Type), func() { c.submit(e) }})
		}
	}
	return items
}

// fault draws one thing that goes wrong.
func (w *world) fault(rng *dice) item {
	wk, ns, d := w.workers[rng.IntN(len(w.workers))], w.nameservices[rng.IntN(len(w.nameservices))], w.dispatcher
	soon, long := rng.upTo(15*time.Second), rng.upTo(20*time.Second)
	switch rng.IntN(14) {
	case 0:
		return item{name: fmt.Sprintf("kill -9 %s, back after %v", wk.name, long), do: func() {
			wk.crash()
			w.after(long, wk.boot)
		}}
	case 1:
		return item{name: fmt.Sprintf("pause %s for %v", wk.name, long), do: func() { wk.pause(long) }}
	case 2, 3:
		return item{name: fmt.Sprintf("cut the stream to %s", wk.name), do: func() {
			if wk.stream != nil {
				wk.stream.cut("a fault")
			}
		}}
	case 4, 5:
		return item{name: fmt.Sprintf("kill -9 dispatcher, a leader again after %v", soon), do: func() { d.lose("dies", soon) }}
	case 6:
		return item{name: fmt.Sprintf("the dispatcher's disk is full for %v", soon), do: func() { d.lose("cannot append: no space left", soon) }}
	case 7:
		return item{name: fmt.Sprintf("SIGTERM %s, started again %v later", wk.name, 5*time.Second+long), do: func() {
			wk.drain()
			w.after(5*time.Second+long, wk.boot)
		}}
	case 8:
		return item{name: fmt.Sprintf("kill -9 %s, back after %v", ns.name, soon), do: func() {
			ns.crash()
			w.after(soon, ns.boot)
		}}
	case 9:
		return item{name: fmt.Sprintf("pause %s for %v", ns.name, long), do: func() { ns.pause(long) }}
	case 10:
		return item{name: fmt.Sprintf("pause dispatcher for %v", soon), do: func() { d.pause(soon) }}
	case 11:
		return item{name: wk.name + " lies", do: func() {
			for i := range 5 {
				w.after(time.Duration(i)*100*time.Millisecond, wk.forge)
			}
		}}
	default:
		return w.partition(rng, long)
	}
}

// partition draws a cut between two processes, in one direction or in both.
func (w *world) partition(rng *dice, d time.Duration) item {
	wk, ns, c := w.workers[rng.IntN(len(w.workers))], w.nameservices[rng.IntN(len(w.nameservices))], w.clients[rng.IntN(len(w.clients))]
	pair := [][2]*process{{w.dispatcher.process, wk.process}, {w.dispatcher.process, ns.process}, {wk.process, ns.process}, {c.process, w.dispatcher.process}}[rng.IntN(4)]
	there, back := route{pair[0].name, pair[1].name}, route{pair[1].name, pair[0].name}
	routes := [][]route{{there}, {back}, {there, back}}[rng.IntN(3)]
	return item{name: fmt.Sprintf("cut %v for %v", routes, d), do: func() { w.network.cut(d, routes...) }}
}

// heal ends the faults: from here on every process is well, or starts. By then, whoever was to pause or to drain has
// done so.
func (w *world) heal() {
	w.say("no more faults")
	w.faults = false
	w.after(26*time.Second, func() {
		for _, wk := range w.workers {
			wk.boot()
		}
		for _, ns := range w.nameservices {
			ns.boot()
		}
		for _, typ := range []string{"a", "b", "c"} {
			w.referee.saw(checker.Serves{At: w.now, Type: typ})
		}
	})
}
