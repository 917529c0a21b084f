package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"taskgrid/internal/rpc"
)

// newHealthCommand returns the command that asks one process for its health: a container without a shell has nothing
// else to check itself with.
func newHealthCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health ADDRESS",
		Short: "Ask the process at ADDRESS (host:port) whether it serves; exit code 0: it does, 1: it does not, 3: no answer",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return exitError{exitUsage, fmt.Errorf("timeout: %v: must be positive", timeout)}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			status, err := askHealth(ctx, args[0])
			if err != nil {
				return exitError{exitUnreachable, err}
			}
			fmt.Fprintln(cmd.OutOrStdout(), status)
			if status != healthpb.HealthCheckResponse_SERVING {
				return exitError{exitFailed, fmt.Errorf("%s answers, and does not serve: it starts, drains or has no leader", args[0])}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "how long to wait for the answer")
	return cmd
}

func askHealth(ctx context.Context, address string) (healthpb.HealthCheckResponse_ServingStatus, error) {
	conn, err := rpc.Dial(address, "health")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return 0, fmt.Errorf("health of %s: %w", address, err)
	}
	return answer.GetStatus(), nil
}
