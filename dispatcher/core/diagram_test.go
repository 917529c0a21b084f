package core

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheStateDiagramIsTheTable holds docs/states.md and Transitions together.
func TestTheStateDiagramIsTheTable(t *testing.T) {
	page, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	diagram := regexp.MustCompile("(?s)```mermaid\n(.*?)```").FindSubmatch(page)
	if diagram == nil {
		t.Fatal("docs/states.md has no mermaid diagram")
	}
	var drawn, table [][3]string
	for _, arrow := range regexp.MustCompile(`(?m)^ +(\S+) --> ([A-Z]+): (.+)$`).FindAllSubmatch(diagram[1], -1) {
		from := string(arrow[1])
		if from == "[*]" {
			from = None.String()
		}
		drawn = append(drawn, [3]string{from, string(arrow[2]), string(arrow[3])})
	}
	for _, tr := range Transitions {
		table = append(table, [3]string{tr.From.String(), tr.To.String(), tr.Cause})
	}
	if diff := cmp.Diff(table, drawn); diff != "" {
		t.Errorf("docs/states.md draws other arrows than Transitions has (-table +drawn):\n%s", diff)
	}
	for s := Created; s < states; s++ {
		ends := regexp.MustCompile(`(?m)^ +` + s.String() + ` --> \[\*\]$`).Match(diagram[1])
		if ends != s.Terminal() {
			t.Errorf("docs/states.md: %v ends the life of a task: drawn %v, want %v", s, ends, s.Terminal())
		}
	}
}
