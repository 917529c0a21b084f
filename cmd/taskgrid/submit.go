package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"taskgrid/client"
	"taskgrid/internal/rpc"
	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

// maxStdin bounds a payload that is read from stdin, in bytes; the dispatcher takes less, and says how much.
const maxStdin = rpc.MaxMessage

func newSubmitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "submit TYPE [PAYLOAD|-]",
		Short: "Submit a task, or many, and print the id, or with --wait the result",
		Long: "Submit a task and print its id, or with --wait its result. Without PAYLOAD the payload is empty; with - it is read\n" +
			"from stdin. A payload that begins with a minus sign goes after two of them, and flags before those: taskgrid submit sum --wait -- -5,5",
		Example: "  taskgrid submit reverse hello --wait\n  taskgrid submit sum --count 100 1,2,3\n  taskgrid submit hash - < file",
		RunE:    verb(submit),
	}
	addGridFlags(cmd)
	f := cmd.Flags()
	f.Bool("wait", false, "wait for the end and print the result; a failed task is exit code 1")
	f.Int("count", 1, "how many such tasks to submit")
	f.String("key", "", "idempotency key: the same key with the same task is the same task (with --count above 1, a number is added)")
	f.Int32("priority", 0, "0 to 9; within a type a higher one goes first")
	f.Uint32("max-attempts", 0, "how many attempts may fail, 1 to 100 (0: the dispatcher's default)")
	f.Duration("attempt-timeout", 0, "how long one attempt may take (0: the dispatcher's default)")
	f.Duration("queue-timeout", 0, "how long the task may wait for its first worker (0: for ever)")
	f.StringToString("label", nil, "a word to find the task by, key=value; may be given more than once")
	cmd.ValidArgsFunction = completeTypes
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "unknown shorthand flag") {
			return exitError{exitUsage, fmt.Errorf("%w; if this is the payload, write -- before it, and flags before that: taskgrid submit sum --wait -- -5,5", err)}
		}
		return flagError(cmd, err)
	})
	return cmd
}

func submit(c *call, args []string) error {
	specs, err := taskSpecs(c.cmd, args)
	if err != nil {
		return exitError{exitUsage, err}
	}
	ctx := rpc.WithRequestID(c.ctx, rpc.NewRequestID())
	submitted := c.client.SubmitMany(ctx, specs)
	if wait, _ := c.cmd.Flags().GetBool("wait"); wait {
		return waitForSubmitted(ctx, c, submitted)
	}
	out := c.results(len(specs) > 1)
	var failed error
	for i, s := range submitted {
		if s.Err != nil {
			failed = c.complain(failed, s.Err)
			continue
		}
		value := struct {
			ID        uint64 `json:"id"`
			Type      string `json:"type"`
			RequestID string `json:"request_id"`
			Duplicate bool   `json:"duplicate,omitempty"`
		}{s.ID, specs[i].Type, rpc.RequestID(ctx), s.Duplicate}
		if err := out.add(value, s.ID); err != nil {
			return err
		}
	}
	return errors.Join(out.close(), failed)
}

// waitForSubmitted prints the results of submitted tasks as they come.
func waitForSubmitted(ctx context.Context, c *call, submitted []client.Submitted) error {
	var ids []uint64
	var failed error
	for _, s := range submitted {
		if s.Err != nil {
			failed = c.complain(failed, s.Err)
			continue
		}
		ids = append(ids, s.ID)
	}
	out := c.results(len(submitted) > 1)
	out.live = true
	err := printEnded(ctx, c, out, ids)
	if err == nil {
		err = failed
	}
	return err
}

// printEnded prints each task's result as it ends, in a table the bare result. It returns the error of the first that
// did not complete.
func printEnded(ctx context.Context, c *call, out *results, ids []uint64) error {
	var failed error
	left := len(ids)
	for task, err := range c.client.Wait(ctx, ids...) {
		if err != nil {
			out.close()
			return stillOpen(ctx, err, left, ids)
		}
		left--
		completed := task.State == pb.TaskState_TASK_STATE_COMPLETED
		if !completed {
			failed = c.complain(failed, taskFailed(task))
		}
		if completed || out.format != formatTable {
			if err := out.add(taskjson.FromTask(task), task.GetResult()); err != nil {
				return err
			}
		}
	}
	return errors.Join(out.close(), failed)
}

// stillOpen adds to the error of a wait what was being waited for: the tasks go on without us.
func stillOpen(ctx context.Context, err error, left int, ids []uint64) error {
	if ctx.Err() == nil {
		return err
	}
	what := fmt.Sprintf("%d of %d tasks have not ended; they go on", left, len(ids))
	if len(ids) == 1 {
		what = fmt.Sprintf("task %d has not ended; it goes on: taskgrid wait %d", ids[0], ids[0])
	}
	var coded exitError
	if errors.As(withCode(err), &coded) {
		return exitError{coded.code, fmt.Errorf("%w: %s", coded.err, what)}
	}
	return err
}

// taskFailed is the error of a task that ended without a result.
func taskFailed(task *pb.Task) error {
	return fmt.Errorf("task %d %s: %s (request_id %s)", task.Id, taskjson.State(task.State), task.Error, task.RequestId)
}

// taskSpecs makes the tasks that the flags and arguments ask for.
func taskSpecs(cmd *cobra.Command, args []string) ([]*pb.TaskSpec, error) {
	f := cmd.Flags()
	spec := &pb.TaskSpec{Type: args[0]}
	if len(args) == 2 {
		spec.Payload = args[1]
	}
	if spec.Payload == "-" && f.ArgsLenAtDash() != 1 {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxStdin))
		if err != nil {
			return nil, fmt.Errorf("payload: read stdin: %w", err)
		}
		spec.Payload = string(text)
	}
	spec.Priority, _ = f.GetInt32("priority")
	spec.MaxAttempts, _ = f.GetUint32("max-attempts")
	if d, _ := f.GetDuration("attempt-timeout"); d != 0 {
		spec.AttemptTimeout = durationpb.New(d)
	}
	if d, _ := f.GetDuration("queue-timeout"); d != 0 {
		spec.QueueTimeout = durationpb.New(d)
	}
	spec.Labels, _ = f.GetStringToString("label")
	count, _ := f.GetInt("count")
	if count < 1 || count > maxCount {
		return nil, fmt.Errorf("count: %d: must be 1 to %d", count, maxCount)
	}
	key, _ := f.GetString("key")
	return copies(spec, key, count), nil
}

// maxCount bounds --count of submit: so many tasks are kept in memory. `load` has no such bound.
const maxCount = 1_000_000

// copies returns the task count times, each with a key of its own if there is a key.
func copies(spec *pb.TaskSpec, key string, count int) []*pb.TaskSpec {
	specs := make([]*pb.TaskSpec, count)
	for i := range specs {
		specs[i] = &pb.TaskSpec{Type: spec.Type, Payload: spec.Payload, Priority: spec.Priority, MaxAttempts: spec.MaxAttempts,
			AttemptTimeout: spec.AttemptTimeout, QueueTimeout: spec.QueueTimeout, Labels: spec.Labels, IdempotencyKey: key}
		if key != "" && count > 1 {
			specs[i].IdempotencyKey = fmt.Sprintf("%s-%d", key, i+1)
		}
	}
	return specs
}
