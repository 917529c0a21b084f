package virtual

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "taskgrid/proto/taskgrid/v1"
	"taskgrid/tests/checker"
	"taskgrid/tests/witness"
	"taskgrid/workers"
)

var (
	storms = flag.Int("storms", 2, "how many seeds of storms")
	storm1 = flag.Uint64("storm", 0, "this seed only")
)

const (
	stormLasts = 30 * time.Second
	stormTasks = 40
)

// TestInAStormNothingIsLostStuckOrDoneTwice lets clients submit while connections break, hosts freeze, processes die and
// return, a disk fails, and, on every third seed, replicas are cut off from one another. The checker judges what
// clients were told, the event stream, and what handlers returned. Unlike in tests/simulation a seed is no exact replay:
// the goroutines of grpc-go and raft run as they like.
func TestInAStormNothingIsLostStuckOrDoneTwice(t *testing.T) {
	first, count := uint64(1), *storms
	if *storm1 != 0 {
		first, count = *storm1, 1
	}
	for seed := first; seed < first+uint64(count); seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runStorm(t, seed) })
		})
	}
}

// storm is a grid on which things go wrong.
type storm struct {
	*Grid
	rng     *rand.Rand
	mu      sync.Mutex // guards what handlers use
	luck    *rand.Rand // of handlers
	ns      *NameService
	single  *Dispatcher // or
	cluster *cluster    // three
	workers []*Worker
}

func runStorm(t *testing.T, seed uint64) {
	s := &storm{rng: rand.New(rand.NewPCG(seed, 1)), luck: rand.New(rand.NewPCG(seed, 2))}
	if seed%3 == 0 {
		s.cluster = startCluster(t)
		s.Grid = s.cluster.Grid
		s.cluster.leader(-1)
	} else {
		s.Grid = New(t)
		s.ns = s.StartNameService()
		s.single = s.StartDispatcher()
	}
	for i, types := range [][]string{{"a", "b"}, {"a"}, {"b"}} {
		id := fmt.Sprint("w", i)
		handlers := map[string]workers.Handler{}
		for _, typ := range types {
			handlers[typ] = s.handler(id)
		}
		s.workers = append(s.workers, s.StartWorker(id, handlers, func(c *workers.Config) { c.Capacity = 2 }))
		s.AwaitWorker(id)
	}
	for _, typ := range []string{"a", "b"} {
		s.note(checker.Serves{At: time.Now(), Type: typ})
	}

	var clients sync.WaitGroup
	for i := range stormTasks {
		delay := time.Duration(s.rng.Int64N(int64(stormLasts)))
		spec := &pb.TaskSpec{
			Type: []string{"a", "b"}[i%2], Payload: fmt.Sprint("payload ", i), IdempotencyKey: fmt.Sprint("key ", i),
			MaxAttempts: 10, AttemptTimeout: durationpb.New(5 * time.Second),
		}
		clients.Go(func() {
			time.Sleep(delay)
			s.WaitOne(s.SubmitSpec(spec))
		})
	}
	for end := time.Now().Add(stormLasts); time.Now().Before(end); {
		time.Sleep(time.Duration(s.rng.Int64N(int64(2 * time.Second))))
		s.fault()
	}
	s.calm()
	clients.Wait()
	s.Status()
	s.History()
}

// handler takes up to two seconds, fails now and then, and writes down what it returns.
func (s *storm) handler(worker string) workers.Handler {
	return func(ctx context.Context, payload string) (string, error) {
		key, _ := workers.AttemptOf(ctx)
		s.mu.Lock()
		took, fails := time.Duration(s.luck.Int64N(int64(2*time.Second)))>>s.luck.IntN(6), s.luck.IntN(10) == 0
		s.mu.Unlock()
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		result := fmt.Sprintf("%s by %s, task %d attempt %x", payload, worker, key.Task, key.Attempt)
		s.note(witness.Executed(worker, key, result, fails))
		if fails {
			return "", errors.New("no luck")
		}
		return result, nil
	}
}

// fault does one thing that goes wrong.
func (s *storm) fault() {
	i := s.rng.IntN(len(s.workers))
	w := s.workers[i]
	upTo := func(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }
	switch s.rng.IntN(8) {
	case 0:
		w.Break()
	case 1:
		w.Freeze()
		thaw := upTo(12 * time.Second)
		time.AfterFunc(thaw, w.Thaw)
	case 2:
		w.Kill()
		<-w.Ended()
		time.Sleep(upTo(2 * time.Second))
		s.workers[i] = w.Restart()
	case 3:
		w.Stop() // as SIGTERM does, with all that draining takes
		s.workers[i] = w.Restart()
	case 4:
		if s.ns != nil {
			s.ns = s.ns.Restart()
		}
	default:
		if s.cluster != nil {
			s.faultOfLeader(upTo)
		} else {
			s.faultOfDispatcher(upTo)
		}
	}
}

// faultOfLeader is a fault of the replica that leads.
func (s *storm) faultOfLeader(upTo func(time.Duration) time.Duration) {
	i := s.cluster.leader(-1)
	switch s.rng.IntN(4) {
	case 0: // it hears nobody, and nobody hears it
		s.cluster.cut(i)
	case 1: // it hears nobody
		for j := range s.cluster.ids {
			s.cluster.cutBetween(j, i)
		}
	case 2:
		s.cluster.replicas[i].Break()
	case 3:
		s.cluster.kill(i)
		time.Sleep(upTo(3 * time.Second))
		s.cluster.restart(i)
	}
	time.Sleep(upTo(5 * time.Second))
	s.cluster.wires.Mend()
}

// faultOfDispatcher is a fault of the only dispatcher.
func (s *storm) faultOfDispatcher(upTo func(time.Duration) time.Duration) {
	switch s.rng.IntN(4) {
	case 0:
		s.single.Break()
		return
	case 1:
		s.single.Freeze()
		time.Sleep(upTo(5 * time.Second))
		s.single.Thaw()
		return
	case 2: // its disk fails: with the next append, it ends by itself
		s.single.Disk.Fail(s.rng.IntN(2) == 0)
		select {
		case <-s.single.Ended():
		case <-time.After(3 * time.Second):
		}
	}
	s.single.Kill()
	time.Sleep(upTo(3 * time.Second))
	s.single = s.single.Restart()
}

// calm ends what still goes wrong.
func (s *storm) calm() {
	for _, w := range s.workers {
		w.Thaw()
	}
	if s.single != nil {
		s.single.Thaw()
	} else {
		s.cluster.wires.Mend()
	}
}
