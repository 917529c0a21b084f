package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"taskgrid/internal/settings"
)

//go:generate sh -c "go run . docs > ../../docs/configuration.md"

// newDocsCommand returns the command that writes docs/configuration.md, so that the page cannot differ from the flags.
func newDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "docs",
		Short:  "Print docs/configuration.md",
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var page strings.Builder
			writeConfiguration(&page, cmd.Root())
			_, err := io.WriteString(cmd.OutOrStdout(), page.String())
			return err
		},
	}
}

const configurationIntro = `# Configuration

Generated from the flags by ` + "`make gen`" + `; CI checks that it is fresh.

Every flag has an environment variable. A flag that is given wins over its variable, the variable over the default. An
unknown flag is refused, and so is an unknown variable that begins with ` + "`" + settings.Prefix + "`" + `. Durations are written like
` + "`250ms`, `1.5s`, `2m` or `1h`" + `.

The default ports of gRPC, 50051 to 50053, lie in the range from which Linux takes ports for outgoing connections, so now
and then one is taken already. ` + "`sysctl -w net.ipv4.ip_local_reserved_ports=50051-50053`" + ` keeps them free.
`

func writeConfiguration(w *strings.Builder, root *cobra.Command) {
	w.WriteString(configurationIntro)
	w.WriteString("\n## Every command\n\n")
	writeFlags(w, root.PersistentFlags())
	for _, cmd := range documented(root) {
		fmt.Fprintf(w, "\n## %s\n\n%s.\n\n    %s\n", cmd.CommandPath(), strings.TrimSuffix(cmd.Short, "."), cmd.UseLine())
		if cmd.NonInheritedFlags().HasFlags() {
			w.WriteString("\n")
			writeFlags(w, cmd.NonInheritedFlags())
		}
	}
}

// documented returns the commands below root that a person may call, each before those below it. What cobra adds by
// itself (help and completion) explains itself.
func documented(root *cobra.Command) []*cobra.Command {
	var commands []*cobra.Command
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" || !cmd.IsAvailableCommand() {
			continue
		}
		if cmd.Runnable() || cmd.HasPersistentFlags() {
			commands = append(commands, cmd)
		}
		commands = append(commands, documented(cmd)...)
	}
	return commands
}

// writeFlags writes a table of all flags but --help, the hidden ones included: they have an effect as well.
func writeFlags(w *strings.Builder, flags *pflag.FlagSet) {
	w.WriteString("| flag | variable | default | what it does |\n|---|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		usage, _, _ := strings.Cut(f.Usage, " [$")
		fmt.Fprintf(w, "| `--%s` | `%s` | %s | %s |\n", f.Name, settings.Variable(f.Name), defaultOf(f), strings.ReplaceAll(usage, "|", "\\|"))
	})
}

// defaultOf returns the default as the table shows it. Two depend on the machine or the terminal: their text says how.
func defaultOf(f *pflag.Flag) string {
	switch {
	case f.Name == "log-format":
		return "text or json"
	case f.DefValue == "" || f.DefValue == "[]":
		return "none"
	}
	return "`" + f.DefValue + "`"
}
