package compose

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/witness"
)

// harm is a fault to containers.
type harm struct {
	what     string
	services []string
	hold     time.Duration // how long it lasts
	begin    func(siege, string)
	end      func(siege, string)
}

// siege is a grid of containers under attack.
type siege struct {
	*project
	t *testing.T
}

// docker runs a docker command.
func (s siege) docker(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// container returns the id of the one container of a service, also when it does not run.
func (s siege) container(service string) string {
	return s.docker("ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name, "--filter", "label=com.docker.compose.service="+service)
}

func (s siege) kill(service string)    { s.docker("kill", s.container(service)) }
func (s siege) start(service string)   { s.docker("start", s.container(service)) }
func (s siege) pause(service string)   { s.docker("pause", s.container(service)) }
func (s siege) unpause(service string) { s.docker("unpause", s.container(service)) }

func (s siege) disconnect(service string) {
	s.docker("network", "disconnect", s.name+"_taskgrid", s.container(service))
}

// connect connects a container again, under the name of its service, as compose had done.
func (s siege) connect(service string) {
	s.docker("network", "connect", "--alias", service, s.name+"_taskgrid", s.container(service))
}

// harms are what happens to the grid, one after the other.
func harms() []harm {
	var all []harm
	for _, service := range []string{"worker-hash", "nameservice", "dispatcher"} {
		all = append(all,
			harm{"kill", []string{service}, 2 * time.Second, siege.kill, siege.start},
			harm{"pause", []string{service}, 5 * time.Second, siege.pause, siege.unpause},
			harm{"disconnect", []string{service}, 5 * time.Second, siege.disconnect, siege.connect})
	}
	// They come back in the other order, and with that under each other's address.
	return append(all, harm{"disconnect", []string{"worker-hash", "worker-upper"}, 5 * time.Second, siege.disconnect, siege.connect})
}

// TestNothingIsLostStuckOrDoneTwiceWhenContainersAreKilledPausedAndCutOff attacks a worker, the name service and the
// dispatcher while clients submit 100 tasks a second, and has the checker judge what was seen from the outside.
func TestNothingIsLostStuckOrDoneTwiceWhenContainersAreKilledPausedAndCutOff(t *testing.T) {
	shared(t) // has built the image
	p, err := newProject("chaos", "docker", "compose")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.down)
	types := []string{"hash", "reverse", "sum", "upper", "wait"}
	up := []string{"up", "-d", "--wait", "nameservice", "dispatcher"}
	for _, typ := range types {
		up = append(up, "worker-"+typ)
	}
	p.must(t, up...)
	c, err := client.New(client.Config{Dispatcher: p.dispatcher})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	whole(t, c, len(types))

	// The defaults of the dispatcher; the slack is for a machine that is busy.
	limits := checker.Limits{Slack: time.Minute}
	w := witness.New(limits)
	load := &witness.Load{Witness: w, Clients: []*client.Client{c}, Rate: 100, Seed: uint64(time.Now().UnixNano()), Wrong: t.Errorf}
	looking, cancel := context.WithCancel(t.Context())
	patient, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	stop := make(chan struct{})
	var group, loading sync.WaitGroup
	group.Go(func() {
		if err := w.Watch(looking, c); err != nil {
			t.Errorf("watching the events: %v", err)
		}
	})
	group.Go(func() { w.Counts(looking, c) })
	loading.Go(func() { load.Run(patient, stop) })

	for _, h := range harms() {
		s := siege{p, t}
		for _, service := range h.services {
			h.begin(s, service)
		}
		time.Sleep(h.hold) // the fault's own length
		for i := range h.services {
			h.end(s, h.services[len(h.services)-1-i])
		}
		ended := time.Now()
		whole(t, c, len(types))
		t.Logf("report: %s %s for %v: whole again after %.1f s", h.what, strings.Join(h.services, " and "), h.hold, time.Since(ended).Seconds())
	}

	close(stop)
	calm := time.Now()
	for _, typ := range types {
		w.Add(checker.Serves{At: calm, Type: typ})
	}
	defer time.AfterFunc(7*time.Minute, giveUp).Stop() // the judge says what is stuck
	loading.Wait()
	if err := w.ReadAll(t.Context(), c); err != nil {
		t.Error(err)
	}
	eventually(t, "the witness sees the last event", func() error {
		status, err := c.Status(t.Context())
		if err != nil {
			return err
		}
		if seen := w.LastEvent(); seen != status.LastEvent {
			return fmt.Errorf("it has seen %d of %d", seen, status.LastEvent)
		}
		w.Add(witness.Counts(status)...)
		return nil
	})
	cancel()
	group.Wait()
	facts, err := w.Conclude()
	if err != nil {
		t.Error(err)
	}
	t.Logf("report: %d faults, %d tasks accepted, %d ends told; %d facts judged", len(harms()), len(w.Accepted()), load.Ended.Load(), facts)
}

// whole waits until the dispatcher has a stream to as many workers, all of them ACTIVE.
func whole(t *testing.T, c *client.Client, n int) {
	t.Helper()
	eventually(t, "the grid is whole", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		ready := 0
		for _, link := range status.Workers {
			if link.Connected && link.Worker.State == pb.WorkerState_WORKER_STATE_ACTIVE {
				ready++
			}
		}
		if ready != n {
			return fmt.Errorf("%d workers are ready, want %d: %v", ready, n, status.Workers)
		}
		return nil
	})
}
