package checker

import (
	"fmt"
	"strings"
)

// Violation is a promise that was broken.
type Violation struct {
	Rule  Rule
	Why   string // in words
	Shown []Fact // the fewest facts that show it, in the order in which they were learnt
}

// Error tells the violation as a story: the rule, what is wrong, and the facts that show it.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "broken: %s\n%s:", v.Rule, v.Why)
	for _, f := range v.Shown {
		stamp := strings.Repeat(" ", len("15:04:05.000"))
		if !f.at().IsZero() {
			stamp = f.at().Format("15:04:05.000")
		}
		fmt.Fprintf(&b, "\n  %s  %v", stamp, f)
	}
	return b.String()
}

// maxViolations bounds what a judge keeps: a grid that is wrong once is often wrong a million times.
const maxViolations = 1000

func (j *Judge) violated(rule Rule, shown []Fact, why string, args ...any) {
	j.count++
	if len(j.violations) < maxViolations {
		j.violations = append(j.violations, &Violation{Rule: rule, Why: fmt.Sprintf(why, args...), Shown: shown})
	}
}

// Violations returns what was broken, in the order in which it was noticed, the first thousand at most.
func (j *Judge) Violations() []*Violation { return j.violations }

// Verdict returns nil if no rule was broken. Otherwise it returns the violation that the fewest facts show, of several
// the first, and says how many there were.
func (j *Judge) Verdict() error {
	if len(j.violations) == 0 {
		return nil
	}
	best := j.violations[0]
	for _, v := range j.violations {
		if len(v.Shown) < len(best.Shown) {
			best = v
		}
	}
	if j.count == 1 {
		return best
	}
	return fmt.Errorf("%w\n(the shortest of %d violations)", best, j.count)
}
