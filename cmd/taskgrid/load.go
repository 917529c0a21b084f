package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/client"
	"taskgrid/client/load"
)

// maxRate bounds --rate, in tasks a second; `taskgrid bench` is for more.
const maxRate = 100_000

func newLoadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Submit random tasks, some of them bad, and check what becomes of each",
		Long: "Submit random tasks of all five types, about one in ten deliberately bad, and check the end of each against what it\n" +
			"has to be. A line per task: id, type, worker, attempts, milliseconds, verdict. Exit code 1 if one ended unexpectedly.",
		Example:           "  taskgrid load --interval 1s\n  taskgrid load --rate 200 --count 10000 --seed 7",
		RunE:              runLoad,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addGridFlags(cmd)
	f := cmd.Flags()
	f.Lookup("timeout").Usage = "stop after this long (0: go on until Ctrl-C or --count)"
	f.Duration("interval", 30*time.Second, "one task so often")
	f.Float64("rate", 0, "so many tasks a second, instead of --interval")
	f.Int("count", 0, "stop after so many tasks (0: go on until Ctrl-C)")
	f.String("log", "taskgrid_tests.log", "append a line of JSON per task to this file; empty: no file")
	f.Uint64("seed", 0, "the same seed makes the same tasks (0: a new one)")
	return cmd
}

func runLoad(cmd *cobra.Command, _ []string) error {
	cfg, err := loadConfig(cmd)
	if err != nil {
		return exitError{exitUsage, err}
	}
	c, end, err := newCallWith(cmd, func(cc *client.Config) { cc.Sender, cc.Patience = "load", 0 })
	if err != nil {
		return exitError{exitUsage, err}
	}
	defer end()
	cfg.Client, cfg.Logger = c.client, c.log
	logFile, err := openLog(cmd, c)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if logFile != nil {
		defer logFile.Close()
		cfg.Log = logFile
	}
	out := newResults(cmd)
	out.live = true
	cfg.Tell = func(r load.Record) { _ = out.add(r, r.Line()) } // a stdout that is gone ends no test; the log file goes on
	summary, err := load.Run(c.ctx, cfg)
	if err == nil {
		err = errors.Join(out.add(struct {
			Summary load.Summary `json:"summary"`
		}{summary}, summary.Line()), out.close())
	}
	if err == nil && summary.Unexpected > 0 {
		err = fmt.Errorf("%d of %d tasks ended unexpectedly (seed %d)", summary.Unexpected, summary.Submitted, summary.Seed)
	}
	if err == nil && summary.Submitted > 0 && summary.Submitted == summary.Unfinished {
		err = fmt.Errorf("not one of %d tasks ended", summary.Submitted)
	}
	return withCode(err)
}

// loadConfig reads the flags that say what to submit.
func loadConfig(cmd *cobra.Command) (cfg load.Config, err error) {
	f := cmd.Flags()
	cfg.Interval, _ = f.GetDuration("interval")
	if cfg.Interval <= 0 {
		return cfg, fmt.Errorf("interval: %v: must be more than 0", cfg.Interval)
	}
	switch rate, _ := f.GetFloat64("rate"); {
	case rate < 0 || rate > maxRate:
		return cfg, fmt.Errorf("rate: %v: must be 0 to %d", rate, maxRate)
	case rate > 0:
		cfg.Interval = time.Duration(float64(time.Second) / rate)
	}
	if cfg.Count, _ = f.GetInt("count"); cfg.Count < 0 {
		return cfg, fmt.Errorf("count: %d: must not be negative", cfg.Count)
	}
	if cfg.Seed, _ = f.GetUint64("seed"); cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	return cfg, nil
}

// openLog opens the log file. Where the default one cannot be written (a read-only container) there is none.
func openLog(cmd *cobra.Command, c *call) (io.WriteCloser, error) {
	path, _ := cmd.Flags().GetString("log")
	if path == "" {
		return nil, nil
	}
	file, err := load.OpenLog(path)
	switch {
	case err == nil:
		return file, nil
	case cmd.Flags().Changed("log"):
		return nil, fmt.Errorf("log: %w", err)
	}
	c.log.Info("no log file", "error", err)
	return nil, nil
}
