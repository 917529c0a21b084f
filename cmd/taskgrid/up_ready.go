package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
	taskgridv1 "taskgrid/proto/taskgrid/v1"
)

const (
	readyPoll    = 20 * time.Millisecond // how often to look while the grid starts
	readyCall    = time.Second           // how long one look at one process may take
	readyTellAll = 5 * time.Second       // how often to say what is still missing
)

// waitReady returns when the grid can do every type of task: the name service has an ACTIVE worker of each type, the
// dispatcher leads and has a stream to one of each, and monitoring says that it is ready. It says on w what is missing
// when that takes long.
func waitReady(ctx context.Context, p *plan, w io.Writer) error {
	conn, err := rpc.Dial(p.reach(p.dispatcher), "up")
	if err != nil {
		return err
	}
	defer conn.Close()
	dispatcher := taskgridv1.NewDispatcherClient(conn)

	look, tell := time.NewTicker(readyPoll), time.NewTicker(readyTellAll)
	defer look.Stop()
	defer tell.Stop()
	for {
		missing := missingParts(ctx, p, dispatcher)
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tell.C:
			fmt.Fprintf(w, "up: not ready yet: %s\n", missing)
		case <-look.C:
		}
	}
}

// missingParts says in words what the grid still lacks; "" when it is ready.
func missingParts(ctx context.Context, p *plan, dispatcher taskgridv1.DispatcherClient) string {
	ctx, cancel := context.WithTimeout(ctx, readyCall)
	defer cancel()
	status, err := dispatcher.GetStatus(ctx, &taskgridv1.DispatcherGetStatusRequest{})
	switch {
	case err != nil:
		return fmt.Sprintf("the dispatcher at %s does not answer: %s", p.reach(p.dispatcher), discovery.Reason(err))
	case status.GetRaft().GetState() != "leader":
		return "the dispatcher does not lead yet"
	}
	if idle := missingTypes(p.types(), status.GetWorkers()); len(idle) > 0 {
		return "no worker is connected for " + strings.Join(idle, ", ")
	}
	if err := monitoringReady(ctx, p.reach(p.http)); err != nil {
		return "monitoring at " + p.reach(p.http) + " is not ready: " + discovery.Reason(err)
	}
	return ""
}

// missingTypes returns those of the types for which the dispatcher has no stream to a worker that is ACTIVE at the
// name service.
func missingTypes(types []string, links []*taskgridv1.WorkerLink) []string {
	return slices.DeleteFunc(slices.Clone(types), func(name string) bool {
		return slices.ContainsFunc(links, func(link *taskgridv1.WorkerLink) bool {
			w := link.GetWorker()
			return link.GetConnected() && w.GetState() == taskgridv1.WorkerState_WORKER_STATE_ACTIVE && slices.Contains(w.GetTypes(), name)
		})
	})
}

func monitoringReady(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	return nil
}
