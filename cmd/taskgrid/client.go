package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"taskgrid/client"
	"taskgrid/internal/discovery"
	"taskgrid/internal/process"
)

const (
	// sender is who the calls of the command line say they are from.
	sender = "cli"

	// patience is how long a verb tries to reach a grid that does not answer, unless --timeout says.
	patience = 2 * time.Second

	// usualDispatcher is tried where nothing was said and no name service answers: compose publishes this port only.
	usualDispatcher = "127.0.0.1:50052"
)

// call is one verb being carried out.
type call struct {
	ctx    context.Context // ends with Ctrl-C and with --timeout
	cmd    *cobra.Command
	client *client.Client
	log    *slog.Logger
	dial   []grpc.DialOption // of its connections
}

// newClientCommands returns the verbs of the client.
func newClientCommands() []*cobra.Command {
	return []*cobra.Command{
		newSubmitCommand(), newGetCommand(), newWaitCommand(), newListCommand(), newCancelCommand(), newRetryCommand(),
		newEventsCommand(), newWorkersCommand(), newDrainCommand(), newStatsCommand(), newHealthCommand(), newLoadCommand(), newBenchCommand(),
		newRaftCommand(),
	}
}

// addGridFlags adds the flags that every verb of the client has.
func addGridFlags(cmd *cobra.Command) {
	cmd.Flags().String("dispatcher", "", "where the dispatcher listens, host:port, or several separated by commas (default: the name service tells)")
	cmd.Flags().String("nameservice", discovery.DefaultNameServices, "where the name services listen, host:port, or several separated by commas, or a DNS name with many addresses")
	cmd.Flags().Duration("timeout", 0, "give up after this long (default: "+patience.String()+" to reach the grid, "+(client.HearsayFactor*patience).String()+" while a name service answers, then as long as it takes)")
	cmd.Flags().StringP("output", "o", formatTable, "how to print: table, json (one document) or jsonl (one document a line)")
	addTLSFlags(cmd)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// verb makes a command's RunE of a function that needs a client, and an exit code of the error it returns.
func verb(run func(c *call, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, end, err := newCall(cmd)
		if err != nil {
			return exitError{exitUsage, err}
		}
		defer end()
		return withCode(run(c, args))
	}
}

// newCall reads the flags and makes the client. It connects to nothing yet.
func newCall(cmd *cobra.Command) (c *call, end func(), err error) {
	return newCallWith(cmd, func(*client.Config) {})
}

// newCallWith is newCall for a verb that wants another client than the others.
func newCallWith(cmd *cobra.Command, adjust func(*client.Config)) (c *call, end func(), err error) {
	log, err := newLogger(cmd)
	if err != nil {
		return nil, nil, err
	}
	if _, err := outputFormat(cmd); err != nil {
		return nil, nil, err
	}
	timeout, _ := cmd.Flags().GetDuration("timeout")
	if timeout < 0 {
		return nil, nil, fmt.Errorf("timeout: %v: must not be negative", timeout)
	}
	secure, err := loadSecurity(cmd, log)
	if err != nil {
		return nil, nil, err
	}
	cfg := clientConfig(cmd)
	cfg.DialOptions = secure.dial()
	cfg.Log = log
	cfg.Behind = sayBehind(cmd)
	if timeout == 0 {
		cfg.Patience = patience
	}
	adjust(&cfg)
	grid, err := client.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := process.SignalContext()
	cancel := context.CancelFunc(func() {})
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	return &call{ctx: ctx, cmd: cmd, client: grid, log: log, dial: cfg.DialOptions}, func() { cancel(); stop(); grid.Close() }, nil
}

// sayBehind returns what tells a person, once, how old the answer to a stale read may be.
func sayBehind(cmd *cobra.Command) func(time.Duration, uint64) {
	var once sync.Once
	return func(age time.Duration, applied uint64) {
		once.Do(func() {
			fmt.Fprintf(cmd.ErrOrStderr(), "taskgrid: as of at most %v ago, journal entry %d\n", age.Round(time.Millisecond), applied)
		})
	}
}

// clientConfig says where the flags say the grid is.
func clientConfig(cmd *cobra.Command) client.Config {
	cfg := client.Config{Sender: sender}
	cfg.Dispatcher, _ = cmd.Flags().GetString("dispatcher")
	names := cmd.Flags().Lookup("nameservice")
	switch {
	case cfg.Dispatcher != "" && !names.Changed: // said where to go: ask nobody
	case cfg.Dispatcher == "" && !names.Changed:
		cfg.NameServices, cfg.Dispatcher = names.Value.String(), usualDispatcher
	default:
		cfg.NameServices = names.Value.String()
	}
	return cfg
}

// withCode gives an error of the client library its exit code.
func withCode(err error) error {
	var refused *client.RefusedError
	var coded exitError
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, client.ErrUnreachable):
		return exitError{exitUnreachable, err}
	case errors.As(err, &refused) && refused.Code == codes.InvalidArgument:
		return exitError{exitUsage, withRequestID(err)}
	case errors.Is(err, context.DeadlineExceeded):
		return exitError{exitFailed, fmt.Errorf("not done when --timeout passed")}
	case errors.Is(err, context.Canceled):
		return exitError{exitFailed, fmt.Errorf("interrupted")}
	}
	return exitError{exitFailed, withRequestID(err)}
}

// withRequestID adds the request id to an error that has one: with it the call is found in the logs of the grid.
func withRequestID(err error) error {
	var refused *client.RefusedError
	if errors.As(err, &refused) && refused.RequestID != "" {
		return fmt.Errorf("%w (request_id %s)", err, refused.RequestID)
	}
	return err
}

// taskIDs reads the arguments of a verb as task ids.
func taskIDs(args []string) ([]uint64, error) {
	ids := make([]uint64, len(args))
	for i, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || id == 0 {
			return nil, exitError{exitUsage, fmt.Errorf("task id: %q: must be a whole number from 1 on", arg)}
		}
		ids[i] = id
	}
	return ids, nil
}

// addressOf checks a host:port that was given as an argument.
func addressOf(argument, value string) error {
	if _, _, err := net.SplitHostPort(value); err != nil {
		return exitError{exitUsage, fmt.Errorf("%s: %q: must be host:port", argument, value)}
	}
	return nil
}
