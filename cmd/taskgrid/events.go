package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"taskgrid/internal/taskjson"
	pb "taskgrid/proto/taskgrid/v1"
)

func newEventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happened to tasks and workers, each event once and in order",
		Long: "Print what happened to tasks and workers, each event once and in order. With --follow go on printing what happens;\n" +
			"without --since that is what happens from now on. Without --follow and --since it is everything that is kept.",
		RunE:              verb(events),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addGridFlags(cmd)
	f := cmd.Flags()
	f.Uint64("since", 0, "begin after the event with this number")
	f.Bool("follow", false, "go on as events happen, until Ctrl-C")
	f.String("type", "", "only events of tasks of this type")
	f.Uint64("task", 0, "only events of this task")
	f.Bool("stale", false, "a dispatcher that does not lead may answer, and says how far behind it is; without --since from event 1 on")
	_ = cmd.RegisterFlagCompletionFunc("type", completeTypes)
	return cmd
}

func events(c *call, _ []string) error {
	f := c.cmd.Flags()
	follow, _ := f.GetBool("follow")
	request := &pb.WatchEventsRequest{NoFollow: !follow}
	request.Since, _ = f.GetUint64("since")
	request.Type, _ = f.GetString("type")
	request.TaskId, _ = f.GetUint64("task")
	request.Stale, _ = f.GetBool("stale")
	switch {
	case f.Changed("since"), request.Stale:
	case follow:
		request.FromNow = true
	default:
		status, err := c.client.Status(c.ctx)
		if err != nil {
			return err
		}
		request.Since = max(status.FirstEvent, 1) - 1
	}
	out := newResults(c.cmd)
	out.live = true
	for event, err := range c.client.Events(c.ctx, request) {
		if follow && c.ctx.Err() != nil {
			break // Ctrl-C and --timeout are how one stops to follow
		}
		if err != nil {
			return errors.Join(out.close(), withCode(err))
		}
		e := taskjson.FromEvent(event)
		if err := out.add(e, e.Sequence, clock(e.Time), eventSubject(e), fmt.Sprintf("%-24s", orDash(e.From)+" → "+orDash(e.To)), e.WorkerID, e.Reason); err != nil {
			return err
		}
	}
	return out.close()
}

// eventSubject says in a few words what an event is about, padded so that most lines are aligned.
func eventSubject(e taskjson.Event) string {
	if e.Kind == "worker" {
		return fmt.Sprintf("%-16s", "worker "+e.Aspect)
	}
	return fmt.Sprintf("%-16s", fmt.Sprint("task ", e.TaskID, " ", e.Type))
}
