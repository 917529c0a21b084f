package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"taskgrid/internal/process"
	"taskgrid/internal/settings"
)

// explainUsage lets every command say in words what is wrong with its flags and arguments. Call it once, when all
// commands are there.
func explainUsage(root *cobra.Command) {
	root.SetFlagErrorFunc(flagError)
	for _, cmd := range root.Commands() {
		if cmd.Args == nil {
			cmd.Args = arguments
		}
	}
}

// explainCobra does it for cobra's own commands, which take any word. Call it when root knows where to write: they never
// learn it later.
func explainCobra(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return fmt.Errorf("unknown command %q", strings.Join(args, " "))
				}
				return nil
			}
		case "completion":
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("%q: is no shell that is known; these are: bash, fish, powershell, zsh", args[0])
				}
				return nil
			}
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// flagError is the error of a flag that is unknown or cannot be read.
func flagError(cmd *cobra.Command, err error) error {
	err = settings.Explain(err)
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		err = fmt.Errorf("%w; '%s --help' lists the flags", err, cmd.CommandPath())
	}
	return exitError{exitUsage, err}
}

// arguments checks how many arguments a command is given. How many it takes stands in the line of its usage, word by
// word: TYPE is one, [PAYLOAD] one that may be left out, ID… one or more.
func arguments(cmd *cobra.Command, args []string) error {
	words := strings.Fields(cmd.Use)[1:]
	usage := "usage: " + cmd.UseLine()
	for i, word := range words {
		if i == len(args) && !strings.HasPrefix(word, "[") {
			return fmt.Errorf("%s is missing; %s", strings.TrimSuffix(word, "…"), usage)
		}
		if strings.HasSuffix(word, "…") {
			return nil
		}
	}
	switch {
	case len(words) == 0 && len(args) > 0:
		return fmt.Errorf("%q: %s takes no arguments; %s", args[0], cmd.Name(), usage)
	case len(args) > len(words):
		return fmt.Errorf("%q: one argument too many; %s", args[len(words)], usage)
	}
	return nil
}

// checkAddresses checks the flags that say where a process listens. The error names flag, value and rule.
func checkAddresses(cmd *cobra.Command) error {
	for flag, check := range map[string]func(string) error{
		"listen": process.CheckListen, "http": process.CheckListen, "metrics-address": process.CheckListen, "admin-address": process.CheckAdmin,
	} {
		f := cmd.Flags().Lookup(flag)
		if f == nil || f.Value.String() == "" && f.Name != "listen" && f.Name != "http" {
			continue // empty: nowhere
		}
		if err := check(f.Value.String()); err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
	}
	return nil
}
