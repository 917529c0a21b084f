// Package settings gives every flag of the command line an environment variable: --attempt-timeout is
// TASKGRID_ATTEMPT_TIMEOUT. A flag that is given wins over its variable, the variable over the default. A variable with
// the prefix that belongs to no flag is refused, so that a typing error does not go unseen.
package settings

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Prefix begins the name of every variable.
const Prefix = "TASKGRID_"

// Variable returns the environment variable of a flag.
func Variable(flag string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Describe adds its variable to the help text of every flag below root. Call it once, when all commands are there.
func Describe(root *cobra.Command) {
	each(root, func(f *pflag.Flag) {
		if !strings.Contains(f.Usage, "$"+Prefix) && f.Name != "help" {
			f.Usage += " [$" + Variable(f.Name) + "]"
		}
	})
}

// FromEnvironment sets the flags of cmd that were not given from their variables. The error names the variable, its
// value and the rule.
func FromEnvironment(cmd *cobra.Command) error {
	known := map[string]bool{}
	each(cmd.Root(), func(f *pflag.Flag) { known[Variable(f.Name)] = true })
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, Prefix) && !known[name] {
			return fmt.Errorf("environment variable %s: no flag has this variable%s", name, nearest(name, known))
		}
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := os.LookupEnv(Variable(f.Name))
		if !ok || f.Changed || f.Name == "help" || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = fmt.Errorf("environment variable %s: %w", Variable(f.Name), Explain(err))
		}
	})
	return failed
}

// each calls do for every flag of root and of all commands below it.
func each(root *cobra.Command, do func(*pflag.Flag)) {
	root.PersistentFlags().VisitAll(do)
	root.Flags().VisitAll(do)
	for _, c := range root.Commands() {
		each(c, do)
	}
}

// nearest names the known variables that contain one of the words of name.
func nearest(name string, known map[string]bool) string {
	var close []string
	for k := range known {
		for _, word := range strings.Split(strings.TrimPrefix(name, Prefix), "_") {
			if len(word) > 3 && strings.Contains(k, word) {
				close = append(close, k)
				break
			}
		}
	}
	if len(close) == 0 {
		return "; taskgrid help COMMAND lists them"
	}
	slices.Sort(close)
	return "; did you mean " + strings.Join(close, " or ") + "?"
}
