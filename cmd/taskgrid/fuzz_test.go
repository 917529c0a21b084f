package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// FuzzFlags: no command line makes a program panic before it begins, and what is refused is refused in words. Commands
// are stopped where they would begin to work; what their flags mean is checked by the functions that do so.
func FuzzFlags(f *testing.F) {
	for _, seed := range []string{
		"", "worker\x00hash,sum\x00--capacity=4\x00--labels=a=b,c=d", "worker\x00hash\x00--labels=\"", "up\x00--workers=hash=3,sum=2\x00--ephemeral",
		"up\x00--workers=hash", "dispatcher\x00--strategy=random\x00--attempt-timeout=1h1m", "dispatcher\x00--max-queued=99999999999999999999",
		"submit\x00reverse\x00--label\x00k=v\x00--priority=-1", "nameservice\x00--offline-after=-1ns", "list\x00--state\x00queued,failed\x00-o\x00jsonl",
		"get\x00--\x00-1", "monitoring\x00--interval\x001e9s", "wait\x00\xff", "health\x00[::1", "-h", "completion\x00bash", "--log-level", "events\x00--since=0x10",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		cmd, rest, err := root.Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err == nil {
			err = meaning(cmd, cmd.Flags().Args())
		}
		if err != nil && (err.Error() == "" || utf8.ValidString(line) && !utf8.ValidString(err.Error())) {
			t.Errorf("%q: the error %q says nothing that can be read", args, err)
		}
	})
}

// meaning checks what the flags and arguments of a command say, as far as that is possible without doing it.
func meaning(cmd *cobra.Command, args []string) error {
	if _, err := newLogger(cmd); err != nil {
		return err
	}
	switch cmd.Name() {
	case "worker":
		w := workerFlags{listen: ":0", nameservice: cmd.Flag("nameservice").Value.String(), id: cmd.Flag("id").Value.String()}
		w.capacity, _ = cmd.Flags().GetInt("capacity")
		w.labels, _ = cmd.Flags().GetStringToString("labels")
		w.advertise = cmd.Flag("advertise").Value.String()
		_, err := w.config(args[0])
		return err
	case "up":
		var o upOptions
		o.workers, _ = cmd.Flags().GetStringToInt("workers")
		o.bind, o.output = cmd.Flag("bind").Value.String(), "table"
		p, err := newPlan(cmd, o)
		if err == nil {
			p.children()
		}
		return err
	case "get", "wait", "cancel", "retry":
		_, err := taskIDs(args)
		return err
	case "health":
		return addressOf("address", args[0])
	}
	return nil
}
