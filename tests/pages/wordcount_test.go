//go:build unix

package pages

import "testing"

func TestThePageThatAddsATaskTypeIsRight(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	r.useFreePorts()
	r.follow(r.page("docs/adding-a-task-type.md"))
}
