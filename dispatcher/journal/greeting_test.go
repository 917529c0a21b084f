package journal

import (
	"strings"
	"testing"
)

// TestWhoMayTalkToWhom judges greetings.
func TestWhoMayTalkToWhom(t *testing.T) {
	members := []Peer{{"d1", "h:1"}, {"d2", "h:2"}, {"d3", "h:3"}}
	known := roll{Cluster: "blue", Format: 2, Replicas: map[string]Replica{"d2": {ID: "d2", Disk: "x"}, "d9": {ID: "d9", Disk: "x"}}}
	own := greeting{Replica: Replica{ID: "d1", Disk: "a", Reads: 2}, Cluster: "blue"}
	for _, c := range []struct {
		what  string
		other greeting
		want  string // "": he may
	}{
		{"a member", greeting{Replica: Replica{ID: "d2", Disk: "x", Reads: 2}, Cluster: "blue", To: "d1"}, ""},
		{"a member that starts for the first time", greeting{Replica: Replica{ID: "d3", Disk: "y", Reads: 3}}, ""},
		{"one that is to become a member", greeting{Replica: Replica{ID: "d4", Disk: "y", Reads: 2}}, ""},
		{"one that was removed and has lost its disk", greeting{Replica: Replica{ID: "d9", Disk: "y", Reads: 2}}, ""},
		{"another cluster", greeting{Replica: Replica{ID: "d2", Disk: "x", Reads: 2}, Cluster: "red"}, "belongs to cluster red"},
		{"our own id", greeting{Replica: Replica{ID: "d1", Disk: "y", Reads: 2}, Cluster: "blue"}, "two nodes are called d1"},
		{"somebody looks for another", greeting{Replica: Replica{ID: "d2", Disk: "x", Reads: 2}, Cluster: "blue", To: "d3"}, "looks for d3 here, but this is d1"},
		{"a member that lost its disk", greeting{Replica: Replica{ID: "d2", Disk: "y", Reads: 2}}, "taskgrid raft remove d2"},
		{"a program that is too old", greeting{Replica: Replica{ID: "d2", Disk: "x", Reads: 1}, Cluster: "blue"}, "start it with a newer version"},
	} {
		if got := judge(own, c.other, known, members); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestTheRollKeepsTheClusterAndTheDisks(t *testing.T) {
	r := roll{}.with(notice{Cluster: "blue", Replica: &Replica{ID: "d1", Disk: "a"}})
	r = r.with(notice{Cluster: "red", Format: 2, Replica: &Replica{ID: "d1", Disk: "b"}}).with(notice{Format: 1})
	if r.Cluster != "blue" || r.Format != 2 || r.Replicas["d1"].Disk != "a" {
		t.Errorf("the roll is %+v, want cluster blue, format 2 and disk a", r)
	}
	if r = r.with(notice{Forget: "d1"}).with(notice{Replica: &Replica{ID: "d1", Disk: "b"}}); r.Replicas["d1"].Disk != "b" {
		t.Errorf("after d1 was removed the roll has its disk as %q, want b", r.Replicas["d1"].Disk)
	}
}

// FuzzGreeting: whatever is sent to a raft port, reading it ends with a greeting or in words.
func FuzzGreeting(f *testing.F) {
	for _, seed := range []string{"", "\x00\x00\x00\x02{}", "\x00\x00\x00\x09{\"id\":\"d\"", "\xff\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		if _, err := readGreeting(strings.NewReader(sent)); err != nil && !strings.HasPrefix(err.Error(), "journal: ") {
			t.Errorf("%q: %v", sent, err)
		}
	})
}
