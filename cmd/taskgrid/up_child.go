package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
)

// untilStdinFlag is the flag by which a process ends when its standard input does.
const untilStdinFlag = "until-stdin-closes"

// addUntilStdin gives every command the flag that `up` starts its children with.
func addUntilStdin(root *cobra.Command) {
	root.PersistentFlags().Bool(untilStdinFlag, false, "end, as after SIGTERM, when standard input closes: how taskgrid up holds its processes")
	root.PersistentFlags().Lookup(untilStdinFlag).Hidden = true
}

// stopWithStdin makes this process end as after SIGTERM when its standard input closes, if the flag says so. `up`
// holds the other end of that pipe: it closes it to end a child, and the kernel closes it when `up` is killed.
func stopWithStdin(cmd *cobra.Command) {
	if on, _ := cmd.Flags().GetBool(untilStdinFlag); !on {
		return
	}
	go func() { // nobody waits for it: it ends with the process, since a blocked read of a pipe cannot be ended
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, it has ended
		stopSelf()
	}()
}
