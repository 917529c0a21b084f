package workers

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// TaskType is a handler, and how many tasks of the type one process runs at the same time if nobody says otherwise.
type TaskType struct {
	Run      Handler
	Capacity int // perCPU for handlers that compute all the time; more for those that mostly wait
}

// perCPU stands for as many as there are processors.
const perCPU = 0

// catalog holds every task type that `taskgrid worker` can do. A new type is one function and one line here; nothing
// else in the grid has to learn of it.
var catalog = map[string]TaskType{
	"hash":    {hash, perCPU},
	"reverse": {reverse, perCPU},
	"sum":     {sum, perCPU},
	"upper":   {upper, perCPU},
	"wait":    {wait, 100},
}

// Names returns the names of all types, sorted.
func Names() []string { return slices.Sorted(maps.Keys(catalog)) }

// Select returns the handlers of the named types and the capacity of a process that serves them all: the largest of
// theirs. The error names the known types.
func Select(names []string) (handlers map[string]Handler, capacity int, err error) {
	handlers = make(map[string]Handler, len(names))
	for _, name := range names {
		t, ok := catalog[name]
		if !ok {
			return nil, 0, fmt.Errorf("unknown task type %q: the known ones are %s", name, strings.Join(Names(), ", "))
		}
		if _, twice := handlers[name]; twice {
			return nil, 0, fmt.Errorf("task type %q is given twice", name)
		}
		handlers[name] = t.Run
		if t.Capacity == perCPU {
			t.Capacity = runtime.GOMAXPROCS(0)
		}
		capacity = max(capacity, t.Capacity)
	}
	return handlers, capacity, nil
}
