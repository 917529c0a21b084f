package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"taskgrid/internal/rpc"
)

// names is the service that is shown the join token.
const names = "/taskgrid.v1.NameService/"

// maxTokenFile bounds what is read of a token file, in bytes.
const maxTokenFile = 64 << 10

// addTokenFlags adds the flags of the join token to a command that shows or demands it.
func addTokenFlags(cmd *cobra.Command) {
	cmd.Flags().String("join-token", "", "secret of at least 16 bytes without which nobody registers; ps shows it: better the file, or the variable")
	cmd.Flags().String("join-token-file", "", "file with the join token")
}

// security is what these flags came to.
type security struct {
	token rpc.Token
}

// loadSecurity reads the flags that cmd has of those above. The error names flag, file and rule.
func loadSecurity(cmd *cobra.Command) (s security, err error) {
	if s.token, err = loadToken(cmd); err != nil {
		return s, exitError{exitUsage, err}
	}
	return s, nil
}

func loadToken(cmd *cobra.Command) (token rpc.Token, err error) {
	text, _ := cmd.Flags().GetString("join-token")
	path, _ := cmd.Flags().GetString("join-token-file")
	switch {
	case text != "" && path != "":
		return token, fmt.Errorf("join-token: join-token-file: %q: give one of the two", path)
	case text != "":
		if token, err = rpc.ParseToken([]byte(text)); err != nil {
			return token, fmt.Errorf("join-token: %w", err)
		}
	case path != "":
		content, err := readFile(path, maxTokenFile)
		if err != nil {
			return token, fmt.Errorf("join-token-file: %w", err)
		}
		if token, err = rpc.ParseToken(content); err != nil {
			return token, fmt.Errorf("join-token-file: %s: %w", path, err)
		}
	}
	return token, nil
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// dial returns the options for connections to the other processes of the grid.
func (s security) dial() []grpc.DialOption {
	var opts []grpc.DialOption
	if s.token.Present() {
		opts = append(opts, s.token.Show(names))
	}
	return opts
}
