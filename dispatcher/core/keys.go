package core

import (
	"slices"
	"strings"
)

// keyIndex finds the task that an idempotency key belongs to. Keys that differ in their last byte only lie together: who
// numbers its tasks, as the client library does, touches ten of them at one place in memory, and not each at a place of its
// own, which costs 0.4 µs to fetch once many are kept (docs/performance.md).
type keyIndex map[string]*keyBlock // by the key without its last byte

type keyBlock struct{ entries []keyEntry }

type keyEntry struct {
	task uint64
	last byte // of the key
}

// usualKeys is how many keys are likely where there are two: the ten digits.
const usualKeys = 10

func splitKey(key string) (stem string, last byte) {
	return key[:len(key)-1], key[len(key)-1]
}

// place returns where the key whose last byte it is stands; -1 when it does not.
func (b *keyBlock) place(last byte) int {
	return slices.IndexFunc(b.entries, func(e keyEntry) bool { return e.last == last })
}

// get returns the task of a key, which must not be empty.
func (x keyIndex) get(key string) (task uint64, ok bool) {
	stem, last := splitKey(key)
	if b := x[stem]; b != nil {
		if i := b.place(last); i >= 0 {
			return b.entries[i].task, true
		}
	}
	return 0, false
}

// add notes the task of a key that is not there yet.
func (x keyIndex) add(key string, task uint64) {
	stem, last := splitKey(key)
	b := x[stem]
	if b == nil {
		b = new(keyBlock)
		x[strings.Clone(stem)] = b // the stem itself would keep the record alive that the key stood in
	}
	if len(b.entries) == 1 {
		b.entries = slices.Grow(b.entries, usualKeys-1)
	}
	b.entries = append(b.entries, keyEntry{task: task, last: last})
}

// remove lets go of a key.
func (x keyIndex) remove(key string) {
	stem, last := splitKey(key)
	b := x[stem]
	if b == nil {
		return
	}
	if i := b.place(last); i >= 0 {
		b.entries = slices.Delete(b.entries, i, i+1)
	}
	if len(b.entries) == 0 {
		delete(x, stem)
	}
}
