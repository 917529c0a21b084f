package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"taskgrid/dispatcher/journal"
	"taskgrid/internal/rpc"
	pb "taskgrid/proto/taskgrid/v1"
)

const (
	nameService = "/taskgrid.v1.NameService/"
	raftService = "/taskgrid.v1.RaftService/"
	listMembers = pb.RaftService_ListMembers_FullMethodName
)

// callers says which certificates may do what, beyond submitting, reading and looking up. docs/security.md explains it.
var callers = rpc.Callers{
	pb.NameService_RegisterWorker_FullMethodName:   {rpc.Worker},
	pb.NameService_Heartbeat_FullMethodName:        {rpc.Worker},
	pb.NameService_DeregisterWorker_FullMethodName: {rpc.Worker},
	pb.NameService_SetDraining_FullMethodName:      {rpc.Worker, rpc.Operator},
	pb.NameService_AnnounceService_FullMethodName:  {rpc.Dispatcher},
	pb.WorkerService_Process_FullMethodName:        {rpc.Dispatcher},
	raftService:                                    {rpc.Dispatcher, rpc.Operator},
	raftService + "ListMembers":                    {},
}

// maxTokenFile bounds what is read of a token file, in bytes.
const maxTokenFile = 64 << 10

// addTokenFlags adds the flags of the join token to a command that shows or demands it.
func addTokenFlags(cmd *cobra.Command) {
	cmd.Flags().String("join-token", "", "secret of at least 16 bytes without which nobody registers; ps shows it: better the file, or the variable")
	cmd.Flags().String("join-token-file", "", "file with the join token")
}

// addTLSFlags adds the flags of TLS to a command that speaks gRPC.
func addTLSFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("tls-cert", "", "file with this process's certificate, PEM; with it, all gRPC is TLS")
	f.String("tls-key", "", "file with the key of --tls-cert, PEM")
	f.String("tls-ca", "", "file with the certificates of the grid's CA, PEM; with it, whoever calls must show a certificate too")
}

// security is what these flags came to.
type security struct {
	token rpc.Token
	tls   *rpc.TLS // nil: plain
}

// loadSecurity reads the flags that cmd has of those above. The error names flag, file and rule.
func loadSecurity(cmd *cobra.Command, log *slog.Logger) (s security, err error) {
	if s.token, err = loadToken(cmd); err != nil {
		return s, exitError{exitUsage, err}
	}
	var files rpc.Files
	files.Cert, _ = cmd.Flags().GetString("tls-cert")
	files.Key, _ = cmd.Flags().GetString("tls-key")
	files.CA, _ = cmd.Flags().GetString("tls-ca")
	if s.tls, err = rpc.LoadTLS(files, log); err != nil {
		return s, exitError{exitUsage, err}
	}
	return s, nil
}

// loadServerSecurity is loadSecurity for a process that serves: its certificate must be one for its role.
func loadServerSecurity(cmd *cobra.Command, role rpc.Role, log *slog.Logger) (s security, err error) {
	if s, err = loadSecurity(cmd, log); err != nil || s.tls == nil {
		return s, err
	}
	if err := s.tls.Serves(role); err != nil {
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
func (s security) dial(more ...grpc.DialOption) []grpc.DialOption {
	if s.token.Present() {
		more = append(more, s.token.Show(nameService, raftService))
	}
	if s.tls != nil {
		more = append(more, s.tls.Dial())
	}
	return more
}

// serve returns the options for a server. The name service asks for the token by itself.
func (s security) serve(more ...grpc.ServerOption) []grpc.ServerOption {
	if s.tls != nil {
		more = append(more, s.tls.Serve(callers)...)
	}
	if s.token.Present() {
		more = append(more, rpc.Demand(func(ctx context.Context, method string) error {
			if strings.HasPrefix(method, raftService) && method != listMembers {
				return s.token.Require(ctx)
			}
			return nil
		})...)
	}
	return more
}

// raft returns what secures the connections between dispatchers; nil: nothing does. Without a CA a dispatcher could not
// tell another one from a stranger who writes into its journal.
func (s security) raft() (*journal.Secure, error) {
	switch {
	case s.tls == nil:
		return nil, nil
	case !s.tls.Mutual():
		return nil, errors.New("tls-ca: \"\": is required with --tls-cert for a dispatcher of several: it says who the others are")
	}
	return &journal.Secure{
		Server: func() *tls.Config { return s.tls.ServerFor(rpc.Dispatcher) },
		Client: func() *tls.Config { return s.tls.Client(rpc.Dispatcher) },
	}, nil
}
