package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestARecordOfAnEarlierLeadershipDoesNotStrandItsTask applies a Dispatch that the scheduler has not decided: its task
// must end all the same.
func TestARecordOfAnEarlierLeadershipDoesNotStrandItsTask(t *testing.T) {
	m := NewMachine(100)
	apply := func(rec record) any {
		t.Helper()
		result, err := m.Apply(Encode(rec))
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	now := time.Unix(1e9, 0)
	s := NewScheduler(Config{AdoptGrace: 10 * time.Second, MaxFinished: 10, MaxAge: time.Hour, MaxBytes: 1 << 20, MaxTypes: 10,
		Backoff: func(int) time.Duration { return time.Second }}, m, 2, now)
	m.Changed = s.Changed
	task := apply(&Submit{At: At(now), Spec: &Spec{Type: "echo", MaxAttempts: 4, AttemptTimeout: time.Minute}}).(Submitted).Task
	apply(&Dispatch{At: At(now), Task: task.ID, Token: NewToken(1, 1), WorkerID: "w", LeaseID: "lease"})
	now = now.Add(11 * time.Second) // its worker does not come
	s.Begin(now)
	s.Tick()
	records, _ := s.Take()
	for _, r := range records {
		if _, err := m.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Task(task.ID).State; got != Retrying {
		t.Errorf("the task is %v after the grace for its worker, want RETRYING", got)
	}
}

// TestADeadNameServiceDoesNotOverruleALivingOne lets a worker be restarted while one of two name services is away.
func TestADeadNameServiceDoesNotOverruleALivingOne(t *testing.T) {
	before := WorkerInfo{ID: "w", LeaseID: "1", Address: "a:1", State: WorkerActive}
	after := WorkerInfo{ID: "w", LeaseID: "2", Address: "a:2", State: WorkerActive}
	v := NewView()
	v.Update("ns1", true, true, []WorkerInfo{before}, nil)
	v.Update("ns2", true, true, []WorkerInfo{before}, nil)
	v.Away("ns1")
	v.Update("ns2", false, true, []WorkerInfo{after}, nil)
	v.Changes()
	if diff := cmp.Diff([]WorkerInfo{after}, v.All()); diff != "" {
		t.Errorf("the worker re-registered at the name service that lives (-want +got):\n%s", diff)
	}
	v.Away("ns2")
	v.Changes()
	if len(v.All()) != 1 {
		t.Errorf("with all name services away %v is left of what they said, want the worker", v.All())
	}
	v.Update("ns1", true, false, nil, nil) // back, and too young to know
	v.Changes()
	if len(v.All()) != 1 {
		t.Errorf("with a young, empty name service %v is left, want the worker", v.All())
	}
	v.Update("ns1", false, true, nil, nil)
	v.Changes()
	if len(v.All()) != 0 {
		t.Errorf("with a settled, empty name service %v is left, want none", v.All())
	}
}
