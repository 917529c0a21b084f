package simulation

import (
	"bytes"
	"time"

	"taskgrid/dispatcher/core"
)

// disk is the journal with what it stands on. What is proposed while it writes waits and is written at once, as one
// entry; an entry is durable as a whole or not at all. Whoever proposed is told after it is durable.
type disk struct {
	dispatcher *dispatcher

	durable  [][]byte // everything ever applied
	proposed []proposal
	entry    int // how many of the proposals are being written
	unsynced int // how many of the durable records are not: only a disk that lies has any
	snapshot []byte
	covered  int // how many of the durable records it covers
}

// proposal is what one call proposed.
type proposal struct {
	records [][]byte
	done    func(results []any) // nil results: nobody knows what became of it
}

// propose hands records to the journal.
func (k *disk) propose(records [][]byte, done func([]any)) {
	d := k.dispatcher
	k.proposed = append(k.proposed, proposal{records, done})
	if d.bug == ackBeforeFsync && done != nil {
		k.lie()
		return
	}
	if k.entry == 0 {
		k.write()
	}
}

// lie tells everybody that what waits is durable, and writes it a second later.
func (k *disk) lie() {
	before := len(k.durable)
	k.entry = 0
	k.commit(len(k.proposed))
	k.unsynced += len(k.durable) - before
	k.dispatcher.later(time.Second, func() { k.unsynced = 0 })
}

// write writes all that waits, which takes a while.
func (k *disk) write() {
	d := k.dispatcher
	k.entry = len(k.proposed)
	took := 100*time.Microsecond + d.upTo(5*time.Millisecond)
	if d.chance(1) {
		took += d.upTo(3 * time.Second)
	}
	if d.chance(1) && d.IntN(10) == 0 {
		d.later(took, func() { d.lose("its disk fails", d.upTo(5*time.Second)) })
		return
	}
	d.later(took, func() {
		n := k.entry
		k.entry = 0
		k.commit(n)
		if len(k.proposed) > 0 && k.entry == 0 {
			k.write()
		}
	})
}

// commit makes the first n proposals durable and applies them.
func (k *disk) commit(n int) {
	d := k.dispatcher
	batch := k.proposed[:n:n]
	k.proposed = k.proposed[n:]
	if d.scheduler != nil {
		d.scheduler.Begin(d.clock())
	}
	results := make([][]any, len(batch))
	for i, p := range batch {
		for _, rec := range p.records {
			result, err := d.machine.Apply(rec)
			if err != nil {
				d.referee.fail("a record cannot be applied: %v", err)
			}
			k.durable = append(k.durable, rec)
			results[i] = append(results[i], result)
		}
	}
	for i, p := range batch {
		if p.done != nil && d.scheduler != nil {
			p.done(results[i])
		} else if p.done != nil {
			p.done(nil)
		}
	}
	if d.scheduler != nil {
		d.passOn()
	}
}

// crash is the end of the process in the middle of writing: the entry is not there, or torn and thus not there, or
// there without anybody having been told. What waited behind it never is.
func (k *disk) crash() {
	d := k.dispatcher
	survives := 0
	if k.entry > 0 && d.IntN(2) == 0 {
		survives = k.entry
	}
	d.say("disk: of %d proposals, %d of them being written, %d are durable", len(k.proposed), k.entry, survives)
	k.entry = 0
	k.durable = k.durable[:len(k.durable)-k.unsynced]
	k.unsynced = 0
	k.commit(survives)
	void := k.proposed
	k.proposed = nil
	for _, p := range void {
		if p.done != nil {
			p.done(nil)
		}
	}
	k.recover()
}

// recover makes the machine of the next leader: another replica's, or what snapshot and journal give.
func (k *disk) recover() {
	d := k.dispatcher
	before := k.image(d.machine)
	kind := d.IntN(3)
	if kind == 0 {
		return
	}
	m := core.NewMachine(keptEvents)
	rest := k.durable
	if kind == 1 && k.snapshot != nil {
		if err := m.Restore(bytes.NewReader(k.snapshot)); err != nil {
			d.referee.fail("restore: %v", err)
		}
		rest = rest[k.covered:]
	}
	for _, rec := range rest {
		if _, err := m.Apply(rec); err != nil {
			d.referee.fail("replay: %v", err)
		}
	}
	if !bytes.Equal(before, k.image(m)) {
		d.referee.fail("what the journal gives (%d records replayed) is not what the leader had told", len(rest))
	}
	d.machine = m
	k.snapshot, k.covered = before, len(k.durable)
}

func (k *disk) image(m *core.Machine) []byte {
	var buf bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&buf); err != nil {
		k.dispatcher.referee.fail("snapshot: %v", err)
	}
	return buf.Bytes()
}
