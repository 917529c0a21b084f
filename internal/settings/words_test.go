package settings_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/internal/settings"
)

func newCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "test", Run: func(*cobra.Command, []string) {}, SilenceErrors: true, SilenceUsage: true}
	f := cmd.Flags()
	f.Bool("bool", false, "")
	f.Duration("duration", time.Second, "")
	f.Float64("float", 0, "")
	f.Int("int", 0, "")
	f.Uint("uint", 0, "")
	f.Int32("int32", 0, "")
	f.Uint32("uint32", 0, "")
	f.Int64("int64", 0, "")
	f.StringToInt("numbers", nil, "")
	f.StringToString("words", nil, "")
	return cmd
}

func TestAFlagThatCannotBeReadIsExplained(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--bool=x", `bool: "x": must be true or false`},
		{"--duration=5", `duration: "5": must be a duration, such as 250ms, 1.5s or 2m`},
		{"--float=x", `float: "x": must be a number`},
		{"--int=x", `int: "x": must be a whole number`},
		{"--int32=x", `int32: "x": must be a whole number`},
		{"--int64=1.5", `int64: "1.5": must be a whole number`},
		{"--uint=-3", `uint: "-3": must be a whole number from 0 on`},
		{"--uint32=-3", `uint32: "-3": must be a whole number from 0 on`},
		{"--numbers=hash=x", `numbers: "hash=x": must be name=number, several separated by commas`},
		{"--words=x", `words: "x": must be key=value, several separated by commas`},
		{"--int", "int: needs a value"},
	} {
		cmd := newCommand()
		cmd.SetOut(io.Discard)
		cmd.SetArgs(strings.Fields(c.args))
		if err := settings.Explain(cmd.Execute()); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
	}
}

func TestAVariableThatCannotBeReadIsExplained(t *testing.T) {
	t.Setenv("TASKGRID_UINT", "-3")
	err := settings.FromEnvironment(newCommand())
	if want := `environment variable TASKGRID_UINT: uint: "-3": must be a whole number from 0 on`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
