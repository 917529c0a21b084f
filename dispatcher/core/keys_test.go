package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

// The index behaves as a map does, whatever keys share.
func TestTheIndexOfKeysIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := []string{"\x00", "a", "b", "é", "ü"} // the last two end in different bytes of one rune
	for n := range 1_200 {
		keys = append(keys, fmt.Sprint("run-", n), fmt.Sprint(n, "-run"))
	}
	for c := range 256 {
		keys = append(keys, "x"+string([]byte{byte(c)}))
	}
	index, want := keyIndex{}, map[string]uint64{}
	for task := range uint64(200_000) {
		key := keys[rng.IntN(len(keys))]
		got, ok := index.get(key)
		if id, known := want[key]; ok != known || got != id {
			t.Fatalf("%q: task %d, %t; want %d, %t", key, got, ok, id, known)
		}
		switch {
		case !ok:
			index.add(key, task)
			want[key] = task
		default:
			index.remove(key)
			delete(want, key)
		}
	}
	for key := range maps.Clone(want) {
		index.remove(key)
		index.remove(key) // what is not there is not missed
		delete(want, key)
	}
	if len(index) != 0 {
		t.Errorf("%d stems are left of an empty index", len(index))
	}
}

// What a key stood in is let go of, though others that share its stem stay.
func TestTheIndexOfKeysKeepsNoRecordAlive(t *testing.T) {
	index := keyIndex{}
	for task := range uint64(3) {
		record := strings.Repeat("x", 64<<10) + fmt.Sprint("run-", task)
		key := record[64<<10:]
		index.add(key, task)
		for stem := range index { // a map may take the key that is assigned last for its own
			if unsafe.StringData(stem) == unsafe.StringData(key) {
				t.Errorf("after %q the stem is a part of the record that it stood in", key)
			}
		}
	}
}

// BenchmarkKeys is what the index costs a task whose key is numbered, while 200,000 others are kept: looked up, added, and
// later removed.
func BenchmarkKeys(b *testing.B) {
	const others = 200_000
	index := keyIndex{}
	key := func(n int) string { return fmt.Sprint("ABCDEFGHIJKLMNOP-", n) }
	keys := make([]string, 0, others)
	for n := range others {
		keys = append(keys, key(n))
		index.add(keys[n], uint64(n))
	}
	b.ReportAllocs()
	n := others
	for b.Loop() {
		at := n % others
		index.remove(keys[at])
		keys[at] = key(n)
		if _, ok := index.get(keys[at]); ok {
			b.Fatal("a new key is known")
		}
		index.add(keys[at], uint64(n))
		n++
	}
}
