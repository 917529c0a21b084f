package main

import (
	"github.com/spf13/cobra"

	"taskgrid/internal/taskjson"
)

func newGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show a task and its history",
		Args:  cobra.ExactArgs(1),
		RunE: verb(func(c *call, args []string) error {
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
		}),
	}
	addGridFlags(cmd)
	return cmd
}

func newWaitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wait ID…",
		Short: "Wait for tasks to end and print their results as they come",
		Args:  cobra.MinimumNArgs(1),
		RunE: verb(func(c *call, args []string) error {
			ids, err := taskIDs(args)
			if err != nil {
				return err
			}
			out := c.results(len(ids) > 1)
			out.live = true
			return printEnded(c.ctx, c, out, ids)
		}),
	}
	addGridFlags(cmd)
	return cmd
}
