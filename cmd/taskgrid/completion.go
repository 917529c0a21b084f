package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/internal/settings"
	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

// The scripts for bash, zsh and fish are cobra's: taskgrid completion bash. What stands here asks the grid for what may
// come next.

const (
	// completionTimeout bounds how long a press of the tab key may take.
	completionTimeout = time.Second

	// completionTasks is how many tasks are offered, the newest first.
	completionTasks = 30
)

// unfinished are the states of tasks that have not ended.
var unfinished = []pb.TaskState{
	pb.TaskState_TASK_STATE_CREATED, pb.TaskState_TASK_STATE_QUEUED, pb.TaskState_TASK_STATE_DISPATCHED,
	pb.TaskState_TASK_STATE_PROCESSING, pb.TaskState_TASK_STATE_RETRYING,
}

// complete makes a completion of a function that asks the grid. A grid that does not answer offers nothing.
func complete(ask func(c *call) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		const nothingElse = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if settings.FromEnvironment(cmd) != nil { // cobra runs no PersistentPreRunE before a completion
			return nil, nothingElse
		}
		c, end, err := newCall(cmd)
		if err != nil {
			return nil, nothingElse
		}
		defer end()
		bounded, cancel := context.WithTimeout(c.ctx, completionTimeout)
		defer cancel()
		c.ctx = bounded
		var offered []string
		found, _ := ask(c) // the error has nowhere to go: the line that is being written belongs to the user
		for _, word := range found {
			if strings.HasPrefix(word, toComplete) {
				offered = append(offered, word)
			}
		}
		return offered, nothingElse
	}
}

// completeTypes offers the types that the dispatcher knows, for the first argument.
func completeTypes(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(func(c *call) ([]string, error) {
		status, err := c.client.Status(c.ctx)
		var types []string
		for _, t := range status.GetTypes() {
			types = append(types, t.Type)
		}
		return types, err
	})(cmd, args, toComplete)
}

// completeWorkers offers the workers that the dispatcher knows, for the first argument.
func completeWorkers(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return complete(func(c *call) ([]string, error) {
		status, err := c.client.Status(c.ctx)
		var workers []string
		for _, w := range status.GetWorkers() {
			workers = append(workers, cobra.CompletionWithDesc(w.GetWorker().GetWorkerId(), strings.Join(w.GetWorker().GetTypes(), ",")))
		}
		return workers, err
	})(cmd, args, toComplete)
}

// completeTasks offers the newest tasks in these states, or in any.
func completeTasks(states ...pb.TaskState) cobra.CompletionFunc {
	return complete(func(c *call) ([]string, error) {
		filter := &pb.ListTasksRequest{States: states, PageSize: completionTasks, View: pb.TaskView_TASK_VIEW_BASIC}
		var tasks []string
		for task, err := range c.client.List(c.ctx, filter) {
			if err != nil {
				return tasks, err
			}
			tasks = append(tasks, cobra.CompletionWithDesc(fmt.Sprint(task.Id), task.Type+" "+taskjson.State(task.State)))
			if len(tasks) == completionTasks {
				break
			}
		}
		return tasks, nil
	})
}
