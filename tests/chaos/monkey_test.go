//go:build unix

package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"taskgrid/tests/grid"
)

// victim is a process that the monkey plays with.
type victim struct {
	*grid.Process
	paused  bool
	until   time.Time // when a paused one goes on
	ordered bool      // it was killed or told to end, and is to be started again
}

// monkey does something to a process again and again: kill -9, SIGSTOP for a while, SIGTERM. What ended is started again.
type monkey struct {
	t       *testing.T
	dice    *rand.Rand
	victims []*victim
	faults  map[string]int // by fault and component
}

// longestPause is how long a process is stopped at most.
const longestPause = 5 * time.Second

// play plays for a time, with a fault at every interval, and leaves every process running.
func (m *monkey) play(length, interval time.Duration, check func() error) {
	end := time.Now().Add(length)
	next := time.Now()
	for time.Now().Before(end) {
		m.heal(time.Now())
		if !time.Now().Before(next) {
			next = next.Add(interval)
			m.strike(m.victims[m.dice.IntN(len(m.victims))], m.dice.IntN(3), m.dice.Float64())
			if err := check(); err != nil {
				m.t.Errorf("after %v: %v", m.count(), err)
				break
			}
		}
		time.Sleep(10 * time.Millisecond) // the monkey's own pace
	}
	for {
		m.heal(time.Now().Add(longestPause))
		if !slices.ContainsFunc(m.victims, func(v *victim) bool { return v.Gone() || v.ordered }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// strike does one thing to a process, unless something is being done to it.
func (m *monkey) strike(v *victim, fault int, luck float64) {
	if v.paused || v.ordered || v.Gone() {
		return
	}
	component, _, _ := strings.Cut(v.Name(), "-")
	switch fault {
	case 0:
		v.Kill()
		v.ordered = true
		m.faults["kill "+component]++
	case 1:
		v.Pause()
		v.paused, v.until = true, time.Now().Add(time.Duration(luck*float64(longestPause)))
		m.faults["stop "+component]++
	case 2:
		v.Terminate()
		v.ordered = true
		m.faults["term "+component]++
	}
}

// heal lets go on what was paused long enough, and starts what has ended.
func (m *monkey) heal(now time.Time) {
	for _, v := range m.victims {
		switch {
		case v.paused && now.After(v.until):
			v.Resume()
			v.paused = false
		case v.Gone() && !v.ordered:
			m.t.Errorf("%s has ended by itself with exit code %d:\n%s", v.Name(), v.Exited(), tail(v.Log(), 30))
			v.Start()
		case v.Gone():
			v.ordered = false
			v.Start()
		}
	}
}

// count returns the faults in words.
func (m *monkey) count() string {
	var words []string
	n := 0
	for _, fault := range slices.Sorted(maps.Keys(m.faults)) {
		n += m.faults[fault]
		words = append(words, fmt.Sprintf("%s %d", fault, m.faults[fault]))
	}
	return fmt.Sprintf("%d faults (%s)", n, strings.Join(words, ", "))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
