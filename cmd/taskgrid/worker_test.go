package main

import (
	"slices"
	"strings"
	"testing"
)

func TestAWorkerRefusesWhatIsWrongInWords(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"nonsense", `unknown task type "nonsense": the known ones are hash, reverse, sum, upper, wait`},
		{"hash,", `unknown task type ""`},
		{"hash,hash", `task type "hash" is given twice`},
		{"hash --id=a/b", `id: "a/b": must be 1 to 64 characters`},
		{"hash --capacity=-1", "capacity: -1: must not be negative; 0 is one per processor"},
		{"hash --nameservice=nowhere", `nameservice: "nowhere": must be host:port`},
		{"hash --advertise=me", `advertise: "me": must be host:port`},
		{"hash --max-payload=0", "max-payload: 0: must be 1 to 8388608 bytes"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"worker"}, strings.Fields(test.args)...))
		err := root.Execute()
		exit, ok := err.(exitError)
		if !ok || exit.code != exitUsage || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("worker %s: got %v, want exit code %d and %q", test.args, err, exitUsage, test.want)
		}
	}
}

func TestTheCompletionOfTypesGoesOnAfterAComma(t *testing.T) {
	for _, test := range []struct {
		args  []string
		typed string
		want  []string
	}{
		{nil, "", []string{"hash", "reverse", "sum", "upper", "wait"}},
		{nil, "hash,wait,", []string{"hash,wait,reverse", "hash,wait,sum", "hash,wait,upper"}},
		{[]string{"hash"}, "", nil},
	} {
		got, _ := completeWorkerTypes(nil, test.args, test.typed)
		if !slices.Equal(got, test.want) {
			t.Errorf("after %v %q: got %v, want %v", test.args, test.typed, got, test.want)
		}
	}
}
