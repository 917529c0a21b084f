package discovery

import (
	"strings"
	"testing"
)

// FuzzAddresses: a list of addresses is refused naming the flag, or each of them can be dialled.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"", "127.0.0.1:50051", "a:1,b:2", "[::1]:1, c:3", ":1", "a:", ",", "a:1,", "[::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		names, err := Open(list, "test")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "nameservice: ") {
				t.Errorf("%q: %v does not name the flag", list, err)
			}
		} else {
			names.Close()
		}
		if _, err := NewFinder(Config{Dispatcher: list, NameServices: "127.0.0.1:1"}); list != "" && err != nil && !strings.HasPrefix(err.Error(), "dispatcher: ") {
			t.Errorf("%q: %v does not name the flag", list, err)
		}
	})
}
