package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
)

func newHealthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health ADDRESS",
		Short: "Ask one process whether it serves: exit code 0 if it does, 1 if not",
		Long: "Ask one process whether it serves: exit code 0 if it does, 1 if not. ADDRESS is host:port of a gRPC server, which is\n" +
			"asked by grpc.health.v1, or a URL that begins with http:// and must answer 200.",
		Example:           "  taskgrid health 127.0.0.1:50052\n  taskgrid health http://127.0.0.1:8080/healthz",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout, _ := cmd.Flags().GetDuration("timeout")
			if timeout <= 0 {
				return exitError{exitUsage, fmt.Errorf("timeout: %v: must be more than 0", timeout)}
			}
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			log, err := newLogger(cmd)
			if err != nil {
				return err
			}
			secure, err := loadSecurity(cmd, log)
			if err != nil {
				return err
			}
			check := secure.checkGRPC
			if strings.HasPrefix(args[0], "http://") || strings.HasPrefix(args[0], "https://") {
				check = checkHTTP
			} else if err := addressOf("address", args[0]); err != nil {
				return err
			}
			said, err := check(ctx, args[0])
			if err != nil {
				return exitError{exitFailed, fmt.Errorf("%s: %w", args[0], err)}
			}
			fmt.Fprintln(cmd.OutOrStdout(), said)
			return nil
		},
	}
	cmd.Flags().Duration("timeout", 2*time.Second, "how long to wait for the answer")
	addTLSFlags(cmd)
	return cmd
}

// checkGRPC asks a process of any role: whoever is there is to say how it does.
func (s security) checkGRPC(ctx context.Context, address string) (string, error) {
	conn, err := rpc.Dial("passthrough:///"+address, sender, s.dial(rpc.ToAnybody())...)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		reason := discovery.Reason(err)
		if strings.Contains(reason, "HTTP") {
			reason += ": taskgrid health http://" + address + "/healthz"
		}
		return "", errors.New(reason)
	}
	if resp.Status != healthpb.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("it says %s", resp.Status)
	}
	return resp.Status.String(), nil
}

func checkHTTP(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", errors.New(discovery.Reason(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it says %s", resp.Status)
	}
	return resp.Status, nil
}
