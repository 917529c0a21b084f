package core

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entered is a worker as a name service tells of it.
func entered(id, lease string, state WorkerState) WorkerInfo {
	return WorkerInfo{ID: id, LeaseID: lease, Address: id + ":1", Types: []string{"hash"}, Capacity: 1, State: state}
}

// sees checks what a view holds, as "id lease STATE".
func sees(t *testing.T, v *View, when string, want ...string) {
	t.Helper()
	v.Changes()
	got := []string{}
	for _, w := range v.All() {
		got = append(got, w.ID+" "+w.LeaseID+" "+w.State.String())
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestAChangeIsToldOnce(t *testing.T) {
	v := NewView()
	a, b := entered("a", "1", WorkerActive), entered("b", "1", WorkerActive)
	told := func(when string, wantChanged []WorkerInfo, wantGone []string) {
		t.Helper()
		changed, gone := v.Changes()
		if diff := cmp.Diff([]any{wantChanged, wantGone}, []any{changed, gone}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	v.Update("ns", true, true, []WorkerInfo{b, a}, nil)
	told("a snapshot", []WorkerInfo{a, b}, nil)
	told("nothing", nil, nil)
	v.Update("ns", true, true, []WorkerInfo{a, b}, nil)
	told("the same snapshot", nil, nil)
	b.Capacity = 2
	v.Update("ns", false, true, []WorkerInfo{b}, []string{"a"})
	told("a change", []WorkerInfo{b}, []string{"a"})
}

func TestANameServiceThatStartsEmptyProvesNothing(t *testing.T) {
	v := NewView()
	a, b := entered("a", "1", WorkerActive), entered("b", "1", WorkerActive)
	v.Update("ns", true, true, []WorkerInfo{a, b}, nil)
	v.Update("ns", true, false, nil, nil)
	sees(t, v, "restarted, empty", "a 1 ACTIVE", "b 1 ACTIVE")
	v.Update("ns", false, false, []WorkerInfo{entered("a", "2", WorkerActive)}, nil)
	sees(t, v, "a has registered again", "a 2 ACTIVE", "b 1 ACTIVE")
	v.Update("ns", false, true, nil, nil)
	sees(t, v, "settled, and b has not come", "a 2 ACTIVE")
}

func TestAYoungNameServiceDoesNotOverruleOneThatIsAway(t *testing.T) {
	v := NewView()
	v.Update("old", true, true, []WorkerInfo{entered("a", "1", WorkerActive)}, nil)
	v.Away("old")
	v.Update("young", true, false, nil, nil)
	sees(t, v, "nobody has told the young one yet", "a 1 ACTIVE")
	v.Update("young", false, true, nil, nil)
	sees(t, v, "it would know by now")
}

func TestAWorkerLivesIfAnyNameServiceSaysSoAndDrainsIfAnySaysSo(t *testing.T) {
	for _, tt := range []struct{ one, other, want WorkerState }{
		{WorkerActive, WorkerOffline, WorkerActive},
		{WorkerActive, WorkerUnhealthy, WorkerActive},
		{WorkerUnhealthy, WorkerOffline, WorkerUnhealthy},
		{WorkerActive, WorkerDraining, WorkerDraining},
		{WorkerOffline, WorkerDraining, WorkerDraining},
	} {
		for _, names := range [][2]string{{"x", "y"}, {"y", "x"}} {
			v := NewView()
			v.Update(names[0], true, true, []WorkerInfo{entered("a", "1", tt.one)}, nil)
			v.Update(names[1], true, true, []WorkerInfo{entered("a", "1", tt.other)}, nil)
			sees(t, v, tt.one.String()+" and "+tt.other.String(), "a 1 "+tt.want.String())
		}
	}
}

func TestAWorkerIsGoneWhenNoNameServiceListsIt(t *testing.T) {
	v := NewView()
	a := entered("a", "1", WorkerActive)
	v.Update("x", true, true, []WorkerInfo{a}, nil)
	v.Update("y", true, true, []WorkerInfo{a}, nil)
	v.Update("x", false, true, nil, []string{"a"})
	sees(t, v, "one still lists it", "a 1 ACTIVE")
	v.Drop("y")
	sees(t, v, "the other is no longer ours")
}

func TestTheLeaseOfALivingEntryCounts(t *testing.T) {
	v := NewView()
	v.Update("x", true, true, []WorkerInfo{entered("a", "old", WorkerUnhealthy)}, nil)
	v.Update("y", true, true, []WorkerInfo{entered("a", "new", WorkerActive)}, nil)
	sees(t, v, "restarted, and x has not heard of it", "a new ACTIVE")
}
