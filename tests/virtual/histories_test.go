package virtual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	pb "taskgrid/proto/taskgrid/v1"
)

// caller is a client of a cluster that keeps no promise but its own: it asks whichever replica it likes, also one that
// was deposed, makes each call once, and writes down what it was told.
type caller struct {
	number int
	rand   *rand.Rand
	apis   []pb.DispatcherClient // of the replicas
	at     int                   // which of them it believes in
	*trial
}

// trial is what the callers of one run share.
type trial struct {
	chronicle chronicle
	mu        sync.Mutex
	ids       map[string]uint64 // by key
	began     time.Time
	stop      context.Context
}

// key returns the key of one of the few tasks that everybody is busy with at the moment.
func (t *trial) key(r *rand.Rand) string {
	return fmt.Sprint("task ", int(time.Since(t.began)/(400*time.Millisecond))+r.IntN(6))
}

// run makes calls until the trial is over.
func (c *caller) run(ctx context.Context) {
	for c.stop.Err() == nil {
		c.call(ctx)
		time.Sleep(time.Duration(c.rand.IntN(100)) * time.Millisecond)
	}
}

// call makes one call.
func (c *caller) call(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(100+c.rand.IntN(900))*time.Millisecond)
	defer cancel()
	key := c.key(c.rand)
	c.mu.Lock()
	id := c.ids[key]
	c.mu.Unlock()
	in, do := action{key: key, verb: getVerb}, c.get
	switch n := c.rand.IntN(20); {
	case id == 0 && n < 5 || n < 1:
		in.verb, do = submitVerb, c.submit
	case id == 0:
		return
	case n < 2:
		in.verb, do = cancelVerb, c.cancel
	case n < 5:
		in.verb, do = waitVerb, c.wait
	}
	began := c.chronicle.begin()
	out, err := do(ctx, key, id)
	switch {
	case err == nil:
	case discovery.Hint(err) != nil: // it was not carried out, by its word
		c.at = c.rand.IntN(len(c.apis))
		return
	case in.verb == getVerb || in.verb == waitVerb: // nothing was said, and nothing was done
		c.at = c.rand.IntN(len(c.apis))
		return
	default:
		c.at = c.rand.IntN(len(c.apis))
		out = answer{unknown: true}
	}
	c.chronicle.end(c.number, began, in, out)
	if in.verb == submitVerb && !out.unknown {
		c.mu.Lock()
		c.ids[key] = out.id
		c.mu.Unlock()
	}
}

func (c *caller) submit(ctx context.Context, key string, _ uint64) (answer, error) {
	payload := fmt.Sprintf("%dms", 100+len(key)%3*300) // the same for the same key
	resp, err := c.apis[c.at].SubmitTasks(ctx, &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{{Type: "wait", Payload: payload, IdempotencyKey: key}}})
	if err != nil {
		return answer{}, err
	}
	r := resp.Results[0]
	if r.Error != nil {
		return answer{}, status.Error(codes.Code(r.Error.Code), r.Error.Message)
	}
	return answer{id: r.Id, duplicate: r.Duplicate}, nil
}

func (c *caller) get(ctx context.Context, _ string, id uint64) (answer, error) {
	resp, err := c.apis[c.at].GetTask(ctx, &pb.GetTaskRequest{Id: id})
	if status.Code(err) == codes.NotFound {
		return answer{missing: true}, nil
	}
	if err != nil {
		return answer{}, err
	}
	return answer{steps: stepsOf(resp.Task)}, nil
}

func (c *caller) wait(ctx context.Context, _ string, id uint64) (answer, error) {
	stream, err := c.apis[c.at].WaitTasks(ctx, &pb.WaitTasksRequest{Ids: []uint64{id}, View: pb.TaskView_TASK_VIEW_FULL})
	if err != nil {
		return answer{}, err
	}
	resp, err := stream.Recv()
	if status.Code(err) == codes.NotFound {
		return answer{missing: true}, nil
	}
	if err != nil {
		return answer{}, err
	}
	return answer{steps: stepsOf(resp.Tasks[0])}, nil
}

func (c *caller) cancel(ctx context.Context, _ string, id uint64) (answer, error) {
	resp, err := c.apis[c.at].CancelTasks(ctx, &pb.CancelTasksRequest{Ids: []uint64{id}})
	if err != nil {
		return answer{}, err
	}
	switch e := resp.Results[0].Error; codes.Code(e.GetCode()) {
	case codes.OK:
		return answer{}, nil
	case codes.FailedPrecondition:
		return answer{refused: true}, nil
	case codes.NotFound:
		return answer{missing: true}, nil
	default:
		return answer{}, status.Error(codes.Code(e.Code), e.Message)
	}
}

// trouble does something to the cluster and undoes it, with pauses; the numbers decide what.
func (c *cluster) trouble(r *rand.Rand) {
	i := c.leader(-1)
	if r.IntN(4) == 0 {
		i = r.IntN(len(c.replicas))
	}
	pause := func() { time.Sleep(time.Duration(200+r.IntN(1800)) * time.Millisecond) }
	switch r.IntN(9) {
	case 0:
		c.kill(i)
		pause()
		c.restart(i)
	case 1:
		c.cut(i)
		pause()
	case 2: // it is not heard
		for j := range c.replicas {
			c.cutBetween(i, j)
		}
		pause()
	case 3: // it does not hear
		for j := range c.replicas {
			c.cutBetween(j, i)
		}
		pause()
	case 4: // it comes and goes
		for range 4 {
			c.cut(i)
			time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
			c.wires.Mend()
			time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
		}
	default: // it is slow to take notice, and then cut off: it takes its followers for nearer than they are
		slow := time.Duration(300+r.IntN(150)) * time.Millisecond
		c.wires.Late(c.ids[i], func() time.Duration { return slow })
		pause()
		c.cut(i)
		pause()
	}
	c.wires.Mend()
	pause()
}

// runTrial lets six callers work while the cluster has three troubles, and returns what is wrong with their history.
func runTrial(t *testing.T, seed uint64) (operations int, wrong error) {
	synctest.Test(t, func(t *testing.T) {
		c := startCluster(t, calm)
		c.leader(-1)
		c.StartWorker("w1", Builtin("wait"))
		c.StartWorker("w2", Builtin("wait"))
		c.AwaitWorker("w1")
		c.AwaitWorker("w2")
		r := rand.New(rand.NewPCG(seed, 0))
		stop, over := context.WithCancel(t.Context())
		trial := &trial{ids: map[string]uint64{}, began: time.Now(), stop: stop}
		var callers sync.WaitGroup
		for n := range 6 {
			who := &caller{number: n, rand: rand.New(rand.NewPCG(seed, uint64(10+n))), trial: trial}
			for _, d := range c.replicas {
				who.apis = append(who.apis, d.API())
			}
			callers.Go(func() { who.run(t.Context()) })
		}
		for range 3 {
			c.trouble(r)
		}
		over()
		callers.Wait()
		operations, wrong = len(trial.chronicle.ops), trial.chronicle.check()
		c.leader(-1)
		c.History()
	})
	return operations, wrong
}

// TestWhatCallersSeeOfATaskHasAnOrder is the claim that submit, get, wait and cancel are linearizable, across failovers.
// HISTORIES says how many seeds it tries, SEED the first: make histories tries 200.
func TestWhatCallersSeeOfATaskHasAnOrder(t *testing.T) {
	seeds, first := 2, 1
	for name, n := range map[string]*int{"HISTORIES": &seeds, "SEED": &first} {
		if text := os.Getenv(name); text != "" {
			var err error
			if *n, err = strconv.Atoi(text); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	total := 0
	for seed := first; seed < first+seeds; seed++ {
		n, wrong := runTrial(t, uint64(seed))
		if total += n; wrong != nil {
			t.Errorf("seed %d: %v", seed, wrong)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d operations in %d runs", total, seeds)
}
