// Command taskgrid is the whole grid in one binary: a subcommand for each process, and verbs for a person.
//
// The files here are wiring only: flags, start, stop, exit code. nameservice.go, dispatcher.go, worker.go and
// monitoring.go start one process each; up.go starts them all; the verbs of the client stand in client.go and beside it.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"taskgrid/internal/process"
	"taskgrid/internal/settings"
)

// Exit codes of every verb.
const (
	exitDone        = 0 // done as asked
	exitFailed      = 1 // the task failed, or something went wrong on our side
	exitUsage       = 2 // wrong flags, arguments or environment
	exitUnreachable = 3 // the grid does not answer
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// exitError is an error that asks for an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

func main() {
	spare := make([]byte, spareBytes)
	code := run(newRoot(), os.Args[1:])
	runtime.KeepAlive(spare)
	os.Exit(code)
}

// spareBytes is memory that is never touched, so that the system gives no page for it. It makes the garbage collector of
// a process that holds little run after so much garbage, not after 4 MiB: at ten thousand tasks a second it would else
// run all the time. Where the heap is large it makes no difference.
const spareBytes = 32 << 20

// run executes the command and returns the exit code; what went wrong is said on stderr.
func run(root *cobra.Command, args []string) int {
	explainCobra(root)
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitDone
	}
	if msg := err.Error(); msg != "" {
		if strings.HasPrefix(msg, "unknown command") {
			msg = strings.TrimSpace(msg) + "; 'taskgrid help' lists the commands"
		}
		fmt.Fprintln(os.Stderr, "taskgrid:", msg)
	}
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitUsage // cobra's own errors: unknown command, wrong number of arguments
}

// newRoot returns the command with all subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "taskgrid",
		Short:         "A distributed task grid: name service, dispatcher, workers, monitoring and client in one binary",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings.FromEnvironment(cmd); err != nil {
				return exitError{exitUsage, err}
			}
			if err := checkAddresses(cmd); err != nil {
				return exitError{exitUsage, err}
			}
			stopWithStdin(cmd)
			return nil
		},
	}
	addUntilStdin(root)
	root.PersistentFlags().String("log-level", "info", "how much to log: debug, info, warn or error")
	root.PersistentFlags().String("log-format", defaultLogFormat(), "how to log: text or json (json when stderr is no terminal)")
	root.AddCommand(newVersionCommand())
	root.AddCommand(newNameserviceCommand())
	root.AddCommand(newDispatcherCommand())
	root.AddCommand(newMonitoringCommand())
	root.AddCommand(newWorkerCommand())
	root.AddCommand(newUpCommand())
	root.AddCommand(newCertsCommand())
	root.AddCommand(newDocsCommand())
	root.AddCommand(newClientCommands()...)
	root.AddCommand(newBenchHelpers()...)
	settings.Describe(root)
	explainUsage(root)
	return root
}

func defaultLogFormat() string {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return "text"
	}
	return "json"
}

// newLogger returns the logger that the flags of cmd ask for.
func newLogger(cmd *cobra.Command) (*slog.Logger, error) {
	level, _ := cmd.Flags().GetString("log-level")
	format, _ := cmd.Flags().GetString("log-format")
	log, err := process.NewLogger(os.Stderr, level, format)
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	return log, nil
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "taskgrid", version) },
	}
}
