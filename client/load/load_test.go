package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"taskgrid/client"
	"taskgrid/client/fakegrid"
	pb "taskgrid/proto/taskgrid/v1"
)

const address = "10.0.0.1:50052"

// world is a fake grid whose workers know the answers to the cases of a seed.
type world struct {
	net    *fakegrid.Network
	grid   *fakegrid.Grid
	leader *fakegrid.Dispatcher
	stop   func()
	others sync.WaitGroup
	cfg    Config
	told   []Record
	log    bytes.Buffer
}

// inGrid runs test in virtual time. Wrong may change the answer of a worker.
func inGrid(t *testing.T, seed uint64, wrong func(c Case) (string, error, bool), test func(t *testing.T, w *world)) {
	t.Helper()
	answers := map[string]Case{}
	cases := NewCases(seed)
	for range 1000 {
		c := cases.Next()
		answers[c.Type+" "+c.Payload] = c
	}
	handlers := map[string]fakegrid.Handler{}
	for _, name := range []string{"reverse", "sum", "hash", "upper", "wait"} {
		handlers[name] = func(payload string) (string, error) {
			c, ok := answers[name+" "+payload]
			if !ok {
				return "", fmt.Errorf("the test does not know %s %q", name, payload)
			}
			if result, err, yes := wrong(c); yes {
				return result, err
			}
			if c.Bad {
				return "", errors.New("bad: " + c.Piece)
			}
			return c.Want, nil
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{net: fakegrid.NewNetwork(), grid: fakegrid.NewGrid(handlers)}
		w.leader = fakegrid.NewDispatcher(w.grid)
		w.stop = w.net.Serve(address, w.leader, nil)
		t.Cleanup(func() { w.others.Wait(); w.stop() })
		c, err := client.New(client.Config{Dispatcher: address, DialOptions: []grpc.DialOption{w.net.Option()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		w.cfg = Config{Client: c, Seed: seed, Log: &w.log, Logger: slog.New(slog.DiscardHandler), Tell: func(r Record) { w.told = append(w.told, r) }}
		test(t, w)
	})
}

func right(Case) (string, error, bool) { return "", nil, false }

func TestTheSameSeedMakesTheSameTasks(t *testing.T) {
	a, b, other := NewCases(1), NewCases(1), NewCases(2)
	differ := false
	for i := range 1000 {
		x, y := a.Next(), b.Next()
		if x != y {
			t.Fatalf("task %d: %+v and %+v, want the same", i, x, y)
		}
		differ = differ || x != other.Next()
	}
	if !differ {
		t.Error("another seed makes the same tasks")
	}
}

func TestAboutOneInTenTasksIsBadAndAllTypesComeUp(t *testing.T) {
	cases, counts, badOnes := NewCases(3), map[string]int{}, 0
	for range 10_000 {
		c := cases.Next()
		counts[c.Type]++
		if c.Bad {
			badOnes++
		}
	}
	if badOnes < 850 || badOnes > 1150 {
		t.Errorf("%d of 10,000 are bad, want about 1,000", badOnes)
	}
	for _, name := range []string{"reverse", "sum", "hash", "upper", "wait"} {
		if counts[name] < 1500 {
			t.Errorf("%d of 10,000 are %s, want about 1,900", counts[name], name)
		}
	}
}

func TestOneTaskIsSubmittedPerInterval(t *testing.T) {
	inGrid(t, 1, right, func(t *testing.T, w *world) {
		w.cfg.Interval = 30 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute-time.Second)
		defer cancel()
		summary, err := Run(ctx, w.cfg)
		if err != nil || summary.Submitted != 10 || summary.OK != 10 || len(w.told) != 10 {
			t.Errorf("in 5 minutes: %+v, %v, told of %d; want 10 tasks", summary, err, len(w.told))
		}
	})
}

func TestARateIsKeptWhileTheGridAnswers(t *testing.T) {
	inGrid(t, 1, right, func(t *testing.T, w *world) {
		w.cfg.Interval, w.cfg.Count = time.Second/200, 400
		summary, err := Run(t.Context(), w.cfg)
		if err != nil || summary.OK != 400 || summary.Seconds < 1.99 || summary.Seconds > 2.1 {
			t.Errorf("%+v, %v; want 400 tasks in 2 s", summary, err)
		}
	})
}

func TestEveryTaskEndsOnceThroughRestarts(t *testing.T) {
	inGrid(t, 1, right, func(t *testing.T, w *world) {
		w.cfg.Interval, w.cfg.Count = time.Second/20, 400
		w.others.Go(func() {
			for range 8 {
				time.Sleep(2 * time.Second)
				w.stop()
				time.Sleep(300 * time.Millisecond)
				w.leader.LoseAnswers(1)
				w.stop = w.net.Serve(address, w.leader, nil)
			}
		})
		summary, err := Run(t.Context(), w.cfg)
		if err != nil || summary.OK != 400 || summary.Unfinished != 0 {
			t.Errorf("%+v, %v; want 400 as expected", summary, err)
		}
		if n := w.grid.Count(); n != 400 {
			t.Errorf("the grid ran %d tasks, want 400", n)
		}
	})
}

func TestAWrongAnswerIsNoticed(t *testing.T) {
	for name, wrong := range map[string]func(c Case) (string, error, bool){
		"a wrong result":                      func(c Case) (string, error, bool) { return "x", nil, c.Type == "hash" && !c.Bad },
		"a good task that fails":              func(c Case) (string, error, bool) { return "", errors.New("oh"), c.Type == "upper" && !c.Bad },
		"a bad task that completes":           func(c Case) (string, error, bool) { return "", nil, c.Bad },
		"an error that does not say which":    func(c Case) (string, error, bool) { return "", errors.New("oh"), c.Piece == "banana" },
		"a bad task that fails without words": func(c Case) (string, error, bool) { return "", errors.New(""), c.Bad },
	} {
		t.Run(name, func(t *testing.T) {
			inGrid(t, 1, wrong, func(t *testing.T, w *world) {
				w.cfg.Interval, w.cfg.Count = time.Millisecond, 200
				summary, err := Run(t.Context(), w.cfg)
				if err != nil || summary.Unexpected == 0 || summary.Unexpected+summary.OK != 200 {
					t.Errorf("%+v, %v; want some of 200 unexpected", summary, err)
				}
				for _, r := range w.told {
					if r.Verdict == Unexpected && r.Why == "" {
						t.Errorf("%+v does not say what is wrong", r)
					}
				}
			})
		})
	}
}

func TestABadTaskMustFailAtOnceAndSayWhy(t *testing.T) {
	c := Case{Type: "sum", Payload: "1,banana", Bad: true, Piece: "banana"}
	end := func(change func(*pb.Task)) client.Finished {
		task := &pb.Task{Type: "sum", State: pb.TaskState_TASK_STATE_FAILED, Error: "banana is no number", Attempts: 1}
		change(task)
		return client.Finished{Task: task}
	}
	for name, tt := range map[string]struct {
		end  client.Finished
		want Verdict
	}{
		"as it has to be":    {end(func(*pb.Task) {}), OK},
		"cancelled":          {end(func(t *pb.Task) { t.State = pb.TaskState_TASK_STATE_CANCELLED }), Unexpected},
		"another type":       {end(func(t *pb.Task) { t.Type = "hash" }), Unexpected},
		"after two attempts": {end(func(t *pb.Task) { t.Attempts = 2 }), Unexpected},
		"about another":      {end(func(t *pb.Task) { t.Error = "apple is no number" }), Unexpected},
		"refused":            {client.Finished{Err: &client.RefusedError{Code: codes.InvalidArgument, Message: "no"}}, Unexpected},
		"no room":            {client.Finished{Err: &client.RefusedError{Code: codes.ResourceExhausted, Message: "full"}}, Refused},
	} {
		if got, why := judge(c, tt.end); got != tt.want {
			t.Errorf("%s: %s (%s), want %s", name, got, why, tt.want)
		}
	}
}

func TestTasksThatAreOutWhenTheClientHasToEndAreCounted(t *testing.T) {
	inGrid(t, 1, right, func(t *testing.T, w *world) {
		w.grid.Hold()
		w.cfg.Interval = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		summary, err := Run(ctx, w.cfg)
		if err != nil || summary.Submitted != 5 || summary.Unfinished != 5 || summary.Seconds > 10 {
			t.Errorf("%+v, %v; want 5 unfinished within 10 s", summary, err)
		}
	})
}

func TestTheLogHasALineOfJSONPerTask(t *testing.T) {
	inGrid(t, 1, right, func(t *testing.T, w *world) {
		w.cfg.Interval, w.cfg.Count = time.Millisecond, 50
		if _, err := Run(t.Context(), w.cfg); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
		for _, line := range lines {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID == 0 || r.Type == "" || r.WorkerID == "" || r.Attempts != 1 || r.Verdict != OK {
				t.Errorf("line %s: %+v, %v", line, r, err)
			}
		}
		if len(lines) != 50 {
			t.Errorf("%d lines, want 50", len(lines))
		}
	})
}

func TestAFullLogFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	log, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	log.size = maxLogFile - 3
	for _, line := range []string{"new\n", "newer\n"} {
		if _, err := log.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.ReadFile(path + ".1")
	now, _ := os.ReadFile(path)
	if string(old) != "before\n" || string(now) != "new\nnewer\n" {
		t.Errorf("the old file has %q, the new one %q", old, now)
	}
}
