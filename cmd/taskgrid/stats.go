package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/internal/discovery"
	"taskgrid/monitoring"
	pb "taskgrid/proto/taskgrid/v1"
)

func newStatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show how many tasks there are and how they do; -o json prints what GET /stats of monitoring does",
		RunE: verb(func(c *call, _ []string) error {
			stats, _, err := c.report()
			if err != nil {
				return err
			}
			out := newResult(c.cmd)
			if out.format == formatTable {
				describeStats(out.table, stats)
				return out.close()
			}
			return out.add(stats)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addGridFlags(cmd)
	return cmd
}

// report asks the dispatcher and the name services and makes the same documents of their answers as monitoring does. A
// name service that does not answer is named in the statistics; without the dispatcher there is nothing to say.
func (c *call) report() (monitoring.Stats, []monitoring.Worker, error) {
	status, err := c.client.Status(c.ctx)
	if err != nil {
		return monitoring.Stats{}, nil, err
	}
	list, _ := c.cmd.Flags().GetString("nameservice")
	names, err := discovery.Open(list, sender, c.dial...)
	if err != nil {
		return monitoring.Stats{}, nil, exitError{exitUsage, err}
	}
	defer names.Close()
	var mu sync.Mutex
	var found []*pb.NameServiceGetStatusResponse
	answers := names.Each(c.ctx, func(ctx context.Context, ns pb.NameServiceClient) error {
		resp, err := ns.GetStatus(ctx, &pb.NameServiceGetStatusRequest{})
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			found = append(found, resp)
		}
		return err
	})
	var missing []string
	for _, a := range answers {
		if a.Err != nil {
			missing = append(missing, "nameservice "+a.Address+": "+discovery.Reason(a.Err))
		}
	}
	stats, workers := monitoring.Report(time.Now(), status, found, missing)
	return stats, workers, nil
}

// describeStats writes statistics for people, in columns separated by tabs.
func describeStats(w io.Writer, s monitoring.Stats) {
	if d := s.Dispatcher; d != nil {
		fmt.Fprintf(w, "dispatcher\t%s leads in term %d, %d of them, version %s, up %v\n", d.Leader, d.Term, max(1, len(d.Peers)), d.Version,
			time.Duration(d.UptimeS*float64(time.Second)).Round(time.Second))
	}
	for _, missing := range s.Missing {
		fmt.Fprintf(w, "missing\t%s\n", missing)
	}
	fmt.Fprintf(w, "workers\t%d registered, %d active\n", s.Workers.Registered, s.Workers.Active)
	fmt.Fprintf(w, "attempts\t%d tried again or redelivered, %d past their deadline, %d refused for capacity\n", s.Retries, s.Timeouts, s.Requeues)
	fmt.Fprintf(w, "average\t%s in the queue, %s at work\n\n", duration(s.AvgQueueTimeMS), duration(s.AvgProcessingTimeMS))
	fmt.Fprintln(w, strings.Join([]string{"TYPE", "SUBMITTED", "QUEUED", "RUNNING", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "FORGOTTEN", "P50", "P99"}, "\t"))
	row := func(name string, c monitoring.Counts, p50, p99 *float64) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", name, c.Submitted, c.Queued, c.Running, c.Retrying,
			c.Completed, c.Failed, c.Cancelled, c.Forgotten, duration(p50), duration(p99))
	}
	for _, name := range slices.Sorted(maps.Keys(s.PerType)) {
		t := s.PerType[name]
		row(name, t.Counts, t.P50MS, t.P99MS)
	}
	row("all", s.Tasks, nil, nil)
}
