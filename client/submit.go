package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	// maxBatch and maxBatchBytes bound one SubmitTasks call, well below what the dispatcher takes (10,000 tasks and
	// rpc.MaxMessage), so that one call of a large submission never holds up others for long.
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

// Submitted is what became of one submission: an id, or an error.
type Submitted struct {
	ID        uint64
	Duplicate bool  // the idempotency key had been seen: ID is that of the earlier task
	Err       error // nil: the task is accepted and durable. As from Submit otherwise
}

// Submit submits a task and returns its id. The task is durable then. A *RefusedError says why it was not accepted.
func (c *Client) Submit(ctx context.Context, spec *pb.TaskSpec) (uint64, error) {
	result := c.SubmitMany(ctx, []*pb.TaskSpec{spec})[0]
	return result.ID, result.Err
}

// SubmitMany submits any number of tasks and returns for each what became of it, in their order. Each is judged by
// itself: one bad task does not refuse the others.
func (c *Client) SubmitMany(ctx context.Context, specs []*pb.TaskSpec) []Submitted {
	ctx = withRequestID(ctx)
	results := make([]Submitted, len(specs))
	var batch pb.SubmitTasksRequest
	var places []int // of the batch's tasks in results
	bytes := 0
	flush := func() {
		c.submitBatch(ctx, &batch, places, results)
		batch.Tasks, places, bytes = nil, nil, 0
	}
	for i, spec := range specs {
		if err := sendable(spec); err != nil {
			results[i].Err = &RefusedError{Code: codes.InvalidArgument, Message: err.Error(), RequestID: rpc.RequestID(ctx)}
			continue
		}
		spec = c.withKey(spec)
		size := proto.Size(spec)
		if len(places) == maxBatch || len(places) > 0 && bytes+size > maxBatchBytes {
			flush()
		}
		batch.Tasks, places, bytes = append(batch.Tasks, spec), append(places, i), bytes+size
	}
	if len(places) > 0 {
		flush()
	}
	return results
}

// submitBatch submits a batch and writes what became of its tasks to their places in results.
func (c *Client) submitBatch(ctx context.Context, batch *pb.SubmitTasksRequest, places []int, results []Submitted) {
	resp, err := ask(ctx, c, true, c.dispatcher.SubmitTasks, batch)
	if err == nil && len(resp.Results) != len(places) {
		err = fmt.Errorf("dispatcher answered for %d tasks instead of %d", len(resp.Results), len(places))
	}
	for i, place := range places {
		if err != nil {
			results[place].Err = err
			continue
		}
		r := resp.Results[i]
		results[place] = Submitted{ID: r.Id, Duplicate: r.Duplicate, Err: refusedTask(ctx, r.Error)}
	}
}

// Run submits a task, waits for its end and returns it. A task that FAILED or was CANCELLED is an answer, not an error:
// look at its State.
func (c *Client) Run(ctx context.Context, spec *pb.TaskSpec) (*pb.Task, error) {
	ctx = withRequestID(ctx)
	id, task, err := c.submitAndWait(ctx, spec)
	if task != nil || err != nil {
		return task, err
	}
	for task, err := range c.Wait(ctx, id) {
		return task, err
	}
	return nil, fmt.Errorf("task %d: the wait ended without it", id) // cannot be: Wait yields each id or an error
}

// runWait is how long Run lets the answer to its submission wait for the end of the task; most end sooner, and then one
// call did it all. It is well below tryTimeout.
const runWait = 5 * time.Second

// submitAndWait submits a task and returns its id, and the task if it ended meanwhile.
func (c *Client) submitAndWait(ctx context.Context, spec *pb.TaskSpec) (uint64, *pb.Task, error) {
	if err := sendable(spec); err != nil {
		return 0, nil, &RefusedError{Code: codes.InvalidArgument, Message: err.Error(), RequestID: rpc.RequestID(ctx)}
	}
	req := &pb.SubmitTasksRequest{Tasks: []*pb.TaskSpec{c.withKey(spec)}, Wait: durationpb.New(runWait)}
	resp, err := ask(ctx, c, true, c.dispatcher.SubmitTasks, req)
	if err != nil {
		return 0, nil, err
	}
	if len(resp.Results) != 1 {
		return 0, nil, fmt.Errorf("dispatcher answered for %d tasks instead of 1", len(resp.Results))
	}
	r := resp.Results[0]
	return r.Id, r.Task, refusedTask(ctx, r.Error)
}

// withKey returns the task with an idempotency key, a new one unless the caller chose one.
func (c *Client) withKey(spec *pb.TaskSpec) *pb.TaskSpec {
	if spec.GetIdempotencyKey() != "" {
		return spec
	}
	return copyWithKey(spec, c.keys+strconv.FormatUint(c.keyed.Add(1), 10))
}

// newKeys returns what idempotency keys begin with, 80 bits of chance; a number follows. The dispatcher keeps numbered keys
// in a fifth of the memory that keys at random take.
func newKeys() string { return rand.Text()[:16] + "-" }

// copyWithKey returns a copy of the task with a key. What the copies point to is shared, since nobody changes it; by field
// because proto.Clone costs as much as sending the task does.
func copyWithKey(spec *pb.TaskSpec, key string) *pb.TaskSpec {
	return &pb.TaskSpec{
		Type: spec.GetType(), Payload: spec.GetPayload(), IdempotencyKey: key, Priority: spec.GetPriority(),
		MaxAttempts: spec.GetMaxAttempts(), AttemptTimeout: spec.GetAttemptTimeout(), QueueTimeout: spec.GetQueueTimeout(),
		Labels: spec.GetLabels(),
	}
}

// sendable says what keeps a task from being sent at all. Everything else is for the dispatcher to judge.
func sendable(spec *pb.TaskSpec) error {
	texts := [...][2]string{{"type", spec.GetType()}, {"payload", spec.GetPayload()}, {"idempotency_key", spec.GetIdempotencyKey()}}
	bytes := 0
	check := func(field, text string) error {
		bytes += len(text)
		if i := invalidUTF8(text); i >= 0 {
			return fmt.Errorf("%s: byte 0x%02x at offset %d: must be valid UTF-8", field, text[i], i)
		}
		return nil
	}
	for _, t := range texts {
		if err := check(t[0], t[1]); err != nil {
			return err
		}
	}
	for key, value := range spec.GetLabels() {
		if err := cmp.Or(check("labels", key), check("labels", value)); err != nil {
			return err
		}
	}
	if bytes < rpc.MaxMessage/2 && len(spec.GetLabels()) < 1024 {
		return nil // far from the bound: the exact size is not worth its time
	}
	if size := proto.Size(spec); size > rpc.MaxMessage-1024 {
		return fmt.Errorf("payload: the task has %d bytes: no message may have more than %d", size, rpc.MaxMessage)
	}
	return nil
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

// unique returns ids without repetitions, in their order.
func unique(ids []uint64) []uint64 {
	seen := make(map[uint64]bool, len(ids))
	return slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool {
		before := seen[id]
		seen[id] = true
		return before
	})
}
