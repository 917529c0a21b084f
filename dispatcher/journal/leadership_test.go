package journal

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestALossBetweenTwoGainsIsHeard: whatever happens while nobody listens, gains and losses take turns, and the last
// one is heard.
func TestALossBetweenTwoGainsIsHeard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAnnouncer()
		changes := rapid.IntRange(0, 8).Draw(t, "changes")
		listens := rapid.SliceOfN(rapid.Bool(), changes, changes).Draw(t, "listens")
		var heard []Leadership
		var last, offer Leadership
		offered := false
		for i := range changes {
			last = Leadership{Leading: i%2 == 0, Term: uint64(i/2 + 1)}
			a.push(last)
			if len(a.queue) > 2 {
				t.Fatalf("%d changes are queued, at most 2 are bounded", len(a.queue))
			}
			if !offered {
				offer, offered = a.pop() // as run does: what is offered is not cancelled any more
			}
			if offered && listens[i] {
				heard, offered = append(heard, offer), false
			}
		}
		if offered {
			heard = append(heard, offer)
		}
		for l, ok := a.pop(); ok; l, ok = a.pop() {
			heard = append(heard, l)
		}
		leading := false
		term := uint64(0)
		for _, l := range heard {
			if l.Leading == leading {
				t.Fatalf("heard %v: two gains or two losses in a row", heard)
			}
			if !l.Leading && l.Term != term {
				t.Fatalf("heard %v: the loss of another term than was gained", heard)
			}
			leading, term = l.Leading, l.Term
		}
		if leading != last.Leading || leading && term != last.Term {
			t.Fatalf("heard %v in the end, but it is %v", heard, last)
		}
	})
}

func TestTheChannelOfLeadershipEndsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.run(ctx); close(ended) }()
		a.push(Leadership{Leading: true, Term: 2})
		got := []Leadership{<-a.out}
		cancel()
		<-ended
		if _, open := <-a.out; open {
			t.Error("the channel is open after run")
		}
		if diff := cmp.Diff([]Leadership{{Leading: true, Term: 2}}, got); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
	})
}
