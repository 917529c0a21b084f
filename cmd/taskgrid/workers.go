package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newWorkersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workers",
		Short: "List the workers as name services and dispatcher see them",
		RunE: verb(func(c *call, _ []string) error {
			stats, workers, err := c.report()
			if err != nil {
				return err
			}
			for _, missing := range stats.Missing {
				fmt.Fprintf(c.cmd.ErrOrStderr(), "taskgrid: %s; what follows is what the others know\n", missing)
			}
			out := newResults(c.cmd, "WORKER", "STATE", "TYPES", "ADDRESS", "RUNNING", "BREAKER", "COMPLETED", "FAILED", "STREAM")
			for _, w := range workers {
				stream := "open"
				if !w.Connected {
					stream = orDash(w.Error)
				}
				err := out.add(w, w.WorkerID, w.State, strings.Join(w.Types, ","), w.Address, fmt.Sprintf("%d of %d", w.Running, w.Capacity),
					orDash(w.Breaker), w.Completed, w.Failed, stream)
				if err != nil {
					return err
				}
			}
			return out.close()
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addGridFlags(cmd)
	return cmd
}

func newDrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain WORKER",
		Short: "Give a worker nothing new; what it runs goes on",
		RunE: verb(func(c *call, args []string) error {
			undo, _ := c.cmd.Flags().GetBool("undo")
			if err := c.client.Drain(c.ctx, args[0], !undo); err != nil {
				return err
			}
			value := struct {
				WorkerID string `json:"worker_id"`
				Draining bool   `json:"draining"`
			}{args[0], !undo}
			out := newResult(c.cmd)
			word := map[bool]string{true: "takes part again", false: "draining"}[undo]
			if err := out.add(value, args[0], word); err != nil {
				return err
			}
			return out.close()
		}),
		ValidArgsFunction: completeWorkers,
	}
	addGridFlags(cmd)
	addTokenFlags(cmd)
	cmd.Flags().Bool("undo", false, "let the worker take part again")
	return cmd
}
