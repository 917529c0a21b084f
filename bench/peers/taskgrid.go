package main

import (
	"context"

	"taskgrid/bench/drive"
	"taskgrid/client"
	pb "taskgrid/proto/taskgrid/v1"
)

// taskgrid is the grid with its defaults: fsync on, retries, leases, history, events and metrics on.
type taskgrid struct{ client *client.Client }

func (*taskgrid) Name() string                        { return "TaskGrid" }
func (*taskgrid) Start(context.Context, string) error { return nil } // the lab has
func (*taskgrid) Stop()                               {}

func (g *taskgrid) Run(ctx context.Context, n, inFlight int) error {
	specs := func(yield func(*pb.TaskSpec) bool) {
		for range n {
			if !yield(drive.Task()) {
				return
			}
		}
	}
	for finished, err := range g.client.RunAll(ctx, inFlight, specs) {
		if err == nil {
			err = finished.Err
		}
		if err == nil {
			err = checked(finished.Task.GetResult())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
