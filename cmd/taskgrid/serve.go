package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"taskgrid/internal/process"
	"taskgrid/internal/rpc"
)

// serves makes cmd the command of a process of the grid, which serves until a signal comes. check looks at what the
// process was given, before it does anything; its error is wrong usage. run serves until ctx ends; its error is a failure,
// if it does not bear an exit code of its own.
func serves(cmd *cobra.Command, role rpc.Role, check func(args []string) error, run func(ctx context.Context, secure security, log *slog.Logger) error) *cobra.Command {
	addTLSFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		log, err := newLogger(cmd)
		if err != nil {
			return err
		}
		if err := check(args); err != nil {
			return exitError{exitUsage, err}
		}
		secure, err := loadServerSecurity(cmd, role, log)
		if err != nil {
			return err
		}
		ctx, stop := process.SignalContext()
		defer stop()
		err = run(ctx, secure, log.With("component", cmd.Name()))
		if coded := new(exitError); err == nil || errors.As(err, coded) {
			return err
		}
		return exitError{exitFailed, err}
	}
	return cmd
}
