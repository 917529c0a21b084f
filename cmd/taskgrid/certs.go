package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"taskgrid/internal/certs"
)

// minValid keeps a certificate from expiring before somebody has copied it to where it is used.
const minValid = time.Minute

func newCertsCommand() *cobra.Command {
	o := certs.Options{}
	cmd := &cobra.Command{
		Use:   "certs DIR",
		Short: "Make a CA, a certificate for each role and a join token, for a grid with TLS",
		Long: `Makes DIR with a folder for each role (` + certs.Roles() + `):
cert.pem, key.pem and ca.pem for --tls-cert, --tls-key and --tls-ca, and for those who may register the join token
for --join-token-file. Give a process the folder of its role and no other; DIR/ca stays with you.

Nothing is overwritten. With --renew the CA and the token stay, and certificates are made for the roles that have
none, or one in the second half of its life; running processes read the new ones by themselves. docs/security.md.`,
		Example: "  taskgrid certs ./certs\n  taskgrid certs ./certs --renew",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Valid < minValid {
				return exitError{exitUsage, fmt.Errorf("valid: %v: must be at least %v", o.Valid, minValid)}
			}
			if o.Owner < -1 {
				return exitError{exitUsage, fmt.Errorf("owner: %d: must be a user id, or -1 for yourself", o.Owner)}
			}
			made, err := certs.Make(args[0], time.Now(), o)
			if err != nil {
				return exitError{exitFailed, fmt.Errorf("certs: %w", err)}
			}
			names := make([]string, len(made))
			for i, r := range made {
				names[i] = string(r)
			}
			if len(names) == 0 {
				names = []string{"nothing, all is fresh"}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: made %s\n", args[0], strings.Join(names, ", "))
			return nil
		},
	}
	cmd.Flags().DurationVar(&o.Valid, "valid", 365*24*time.Hour, "how long the roles' certificates hold; the CA holds ten years")
	cmd.Flags().IntVar(&o.Owner, "owner", -1, "user id that is to own the roles' files, for containers; needs root; -1: yourself")
	cmd.Flags().BoolVar(&o.Renew, "renew", false, "go on from what is in DIR, with its CA")
	return cmd
}
