package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"taskgrid/client"
	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

func newGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "get ID",
		Short:             "Show a task and its history",
		RunE:              verb(get),
		ValidArgsFunction: completeTasks(),
	}
	addGridFlags(cmd)
	return cmd
}

func get(c *call, args []string) error {
	ids, err := taskIDs(args)
	if err != nil {
		return err
	}
	task, err := c.client.Get(c.ctx, ids[0])
	if err != nil {
		return err
	}
	out := newResult(c.cmd)
	if out.format == formatTable {
		describeTask(out.table, taskjson.FromTask(task))
		return out.close()
	}
	return out.add(taskjson.FromTask(task))
}

func newWaitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "wait ID…",
		Short:             "Wait for tasks to end and print their results as they come",
		RunE:              verb(wait),
		ValidArgsFunction: completeTasks(unfinished...),
	}
	addGridFlags(cmd)
	return cmd
}

func wait(c *call, args []string) error {
	ids, err := taskIDs(args)
	if err != nil {
		return err
	}
	out := c.results(len(ids) > 1)
	out.live = true
	failed, err := dropMissing(c, &ids)
	if err == nil && len(ids) > 0 {
		err = printEnded(c.ctx, c, out, ids)
	}
	return cmp.Or(err, failed)
}

// dropMissing takes the ids that no task has out of several: the others can be waited for. It returns the error for the
// first of them, if there are any, and says the later ones on stderr. A single one the grid refuses itself.
func dropMissing(c *call, ids *[]uint64) (failed, err error) {
	if len(*ids) == 1 {
		return nil, nil
	}
	missing, err := c.client.Missing(c.ctx, *ids...)
	for _, id := range missing {
		failed = c.complain(failed, fmt.Errorf("task %d: no such task, or it is forgotten", id))
	}
	*ids = slices.DeleteFunc(*ids, func(id uint64) bool { return slices.Contains(missing, id) })
	return failed, err
}

func newListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List tasks, the newest first",
		Example:           "  taskgrid list --state failed --newer-than 1h\n  taskgrid list --text alice -o jsonl --limit 0",
		RunE:              verb(list),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addGridFlags(cmd)
	f := cmd.Flags()
	f.StringSlice("state", nil, "only tasks in one of these states, such as queued,failed")
	f.String("type", "", "only tasks of this type")
	f.String("text", "", "only tasks that contain this text in payload, result, error, worker, key, request id or a label")
	f.Duration("newer-than", 0, "only tasks that were created within this time (0: any)")
	f.Duration("older-than", 0, "only tasks that were created before this time ago (0: any)")
	f.Bool("ascending", false, "the oldest first")
	f.Uint("limit", 20, "at most so many (0: all)")
	f.Bool("stale", false, "a dispatcher that does not lead may answer, and says how far behind it is")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("type", completeTypes)
	return cmd
}

// maxPage is the most that one page of a list may hold.
const maxPage = 1000

func list(c *call, _ []string) error {
	filter, err := listFilter(c.cmd)
	if err != nil {
		return exitError{exitUsage, err}
	}
	limit, _ := c.cmd.Flags().GetUint("limit")
	filter.PageSize = maxPage
	if limit > 0 {
		filter.PageSize = uint32(min(limit, maxPage))
	}
	out := newResults(c.cmd, "ID", "TYPE", "STATUS", "ATTEMPTS", "WORKER", "CREATED", "DURATION", "RESULT OR ERROR")
	if out.format == formatTable {
		filter.View = pb.TaskView_TASK_VIEW_BASIC
	}
	for task, err := range c.client.List(c.ctx, filter) {
		if err != nil && out.count == 0 {
			return withCode(err)
		}
		if err != nil {
			return errors.Join(out.close(), withCode(err))
		}
		t := taskjson.FromTask(task)
		if err := out.add(t, t.ID, t.Type, t.Status, t.Attempts, orDash(t.WorkerID), clock(t.Created), duration(t.DurationMS), summary(t)); err != nil {
			return err
		}
		if limit > 0 && uint(out.count) == limit {
			break
		}
	}
	return out.close()
}

func listFilter(cmd *cobra.Command) (*pb.ListTasksRequest, error) {
	f := cmd.Flags()
	filter := &pb.ListTasksRequest{}
	states, _ := f.GetStringSlice("state")
	for _, name := range states {
		state, ok := taskjson.ParseState(name)
		if !ok {
			return nil, fmt.Errorf("state: %q: must be one of %s", name, strings.Join(stateNames(), ", "))
		}
		filter.States = append(filter.States, state)
	}
	filter.Type, _ = f.GetString("type")
	filter.Text, _ = f.GetString("text")
	filter.Ascending, _ = f.GetBool("ascending")
	filter.Stale, _ = f.GetBool("stale")
	var err error
	if filter.CreatedAfter, err = timeAgo(cmd, "newer-than"); err != nil {
		return nil, err
	}
	filter.CreatedBefore, err = timeAgo(cmd, "older-than")
	return filter, err
}

// timeAgo returns the time that lies as long ago as a flag says, or nil if it says 0.
func timeAgo(cmd *cobra.Command, flag string) (*timestamppb.Timestamp, error) {
	ago, _ := cmd.Flags().GetDuration(flag)
	switch {
	case ago < 0:
		return nil, fmt.Errorf("%s: %v: must not be negative", flag, ago)
	case ago == 0:
		return nil, nil
	}
	return timestamppb.New(time.Now().Add(-ago)), nil
}

// stateNames returns the names of all states, in lower case.
func stateNames() []string {
	var names []string
	for s := pb.TaskState_TASK_STATE_CREATED; s <= pb.TaskState_TASK_STATE_CANCELLED; s++ {
		names = append(names, strings.ToLower(taskjson.State(s)))
	}
	return names
}

func newCancelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel ID…",
		Short: "Cancel tasks that have not ended; a running one is stopped",
		RunE: verb(func(c *call, args []string) error {
			reason, _ := c.cmd.Flags().GetString("reason")
			return changeTasks(c, args, func(ids []uint64) ([]client.Changed, error) { return c.client.Cancel(c.ctx, reason, ids...) })
		}),
		ValidArgsFunction: completeTasks(unfinished...),
	}
	addGridFlags(cmd)
	cmd.Flags().String("reason", "cancelled on the command line", "why, for the history, at most 256 bytes")
	return cmd
}

func newRetryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retry ID…",
		Short: "Submit failed or cancelled tasks anew and print the new ids",
		RunE: verb(func(c *call, args []string) error {
			return changeTasks(c, args, func(ids []uint64) ([]client.Changed, error) { return c.client.Retry(c.ctx, ids...) })
		}),
		ValidArgsFunction: completeTasks(pb.TaskState_TASK_STATE_FAILED, pb.TaskState_TASK_STATE_CANCELLED),
	}
	addGridFlags(cmd)
	return cmd
}

// changeTasks changes the tasks of the arguments and prints the id of each that was changed, or of the new task. What could
// not be changed is said on stderr and makes the exit code 1.
func changeTasks(c *call, args []string, change func(ids []uint64) ([]client.Changed, error)) error {
	ids, err := taskIDs(args)
	if err != nil {
		return err
	}
	changed, err := change(ids)
	if err != nil {
		return err
	}
	out := c.results(len(ids) > 1)
	var failed error
	for _, r := range changed {
		if r.Err != nil {
			failed = c.complain(failed, r.Err)
			continue
		}
		value := struct {
			ID    uint64 `json:"id"`
			NewID uint64 `json:"new_id,omitempty"`
		}{r.ID, r.NewID}
		printed := r.ID
		if r.NewID != 0 {
			printed = r.NewID
		}
		if err := out.add(value, printed); err != nil {
			return err
		}
	}
	return errors.Join(out.close(), failed)
}
