package discovery

import (
	"slices"
	"testing"

	pb "taskgrid/proto/taskgrid/v1"
)

func TestWhereTheLeaderIs(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*choice)
		want []string
	}{
		{"what was given, while nothing is known", func(*choice) {}, []string{"given"}},
		{"a name service's word counts more", func(c *choice) { c.found("a", 1) }, []string{"a"}},
		{"a later word replaces it", func(c *choice) { c.found("a", 1); c.found("b", 2) }, []string{"b"}},
		{"a grid started anew counts its terms from the beginning", func(c *choice) { c.found("a", 9); c.found("b", 1) }, []string{"b"}},
		{"a hint counts more than the word before it", func(c *choice) { c.found("a", 1); c.hinted("b") }, []string{"b"}},
		{"and more than the same word again", func(c *choice) { c.found("a", 1); c.hinted("b"); c.found("a", 1) }, []string{"b"}},
		{"but not more than a higher term", func(c *choice) { c.found("a", 1); c.hinted("b"); c.found("c", 2) }, []string{"c"}},
		{"and only while the connection lives", func(c *choice) { c.found("a", 1); c.hinted("b"); c.broken() }, []string{"a"}},
		{"who was hinted at leads no longer and knows nobody", func(c *choice) { c.found("a", 1); c.hinted("b"); c.hinted("") }, []string{"a"}},
		{"the first that was given does not lead and knows nobody", func(c *choice) { c.given = []string{"x", "y", "z"}; c.hinted("") }, []string{"y", "z", "x"}},
		{"a broken connection keeps the word", func(c *choice) { c.found("a", 1); c.broken() }, []string{"a"}},
	} {
		c := choice{given: []string{"given"}}
		tt.do(&c)
		if got := c.where(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCallsAboutTheClusterItselfAreNotGivenUp(t *testing.T) {
	for method, want := range map[string]bool{
		pb.Dispatcher_SubmitTasks_FullMethodName: true, pb.Dispatcher_WaitTasks_FullMethodName: true,
		pb.RaftService_TransferLeadership_FullMethodName: false, pb.RaftService_RemoveMember_FullMethodName: false,
	} {
		if got := bound(method); got != want {
			t.Errorf("%s is given up when another leads: %t, want %t", method, got, want)
		}
	}
}

func TestWhoIsKnownToHaveBeenSucceeded(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*choice) bool
		want bool
	}{
		{"the first that is heard of succeeds nobody", func(c *choice) bool { return c.found("a", 7) }, false},
		{"the same again", func(c *choice) bool { c.found("a", 7); return c.found("a", 7) }, false},
		{"a higher term", func(c *choice) bool { c.found("a", 7); return c.found("b", 8) }, true},
		{"a higher term of one that was hinted at before", func(c *choice) bool { c.found("a", 7); c.hinted("b"); return c.found("b", 8) }, true},
		{"a grid started anew", func(c *choice) bool { c.found("a", 7); return c.found("b", 1) }, false},
	} {
		if got := tt.do(&choice{}); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
