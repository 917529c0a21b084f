package monitoring

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTheRingIsBoundedAndHasTheNewestInOrder adds frames of any length and asks from every number.
func TestTheRingIsBoundedAndHasTheNewestInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.Uint64Range(0, 1<<40).Draw(t, "begin")
		size := rapid.SampledFrom([]int{1, 1000, 100_000, ringBytes}).Draw(t, "size")
		limit := rapid.SampledFrom([]int{1, 10, 1000}).Draw(t, "limit")
		n := rapid.IntRange(0, min(3*limit, 3*ringBytes/size)).Draw(t, "n")
		r := newRing(limit, begin)
		for i := range n {
			r.add(&frame{seq: begin + uint64(i) + 1, cost: size})
		}
		kept := min(n, limit, max(1, ringBytes/size))
		last := begin + uint64(n)
		if len(r.frames) != kept || r.bytes != kept*size || r.last != last || r.before != last-uint64(kept) {
			t.Fatalf("%d frames of %d bytes after %d: keeps %d of %d bytes from %d to %d, want %d", n, size, begin, len(r.frames), r.bytes, r.before, r.last, kept)
		}
		if r.holds(r.before-1) && r.before > 0 || !r.holds(r.before) || !r.holds(last) || r.holds(last+1) {
			t.Fatalf("holds what is not there, or not what is, from %d to %d", r.before, r.last)
		}
		at := rapid.Uint64Range(r.before, last).Draw(t, "at")
		got := r.after(at)
		if want := min(int(last-at), batchEvents, (batchBytes-1)/size+1); len(got) != want {
			t.Fatalf("after %d of %d to %d: got %d frames, want %d", at, r.before, last, len(got), want)
		}
		for i, f := range got {
			if f.seq != at+uint64(i)+1 {
				t.Fatalf("frame %d after %d has number %d", i, at, f.seq)
			}
		}
	})
}
