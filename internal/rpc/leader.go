package rpc

import (
	"context"
	"strconv"

	"google.golang.org/grpc/metadata"
)

// The names of the metadata values with which a dispatcher opens a stream to a worker.
const (
	clusterKey = "cluster"
	termKey    = "term"
	workerKey  = "worker_id"
)

// WithLeader returns a context under which calls say that they come from the leader of a term of a cluster.
func WithLeader(ctx context.Context, cluster string, term uint64) context.Context {
	return metadata.AppendToOutgoingContext(ctx, clusterKey, cluster, termKey, strconv.FormatUint(term, 10))
}

// Leader returns what the caller said with WithLeader; "" and 0 when it said nothing.
func Leader(ctx context.Context) (cluster string, term uint64) {
	md, _ := metadata.FromIncomingContext(ctx)
	term, _ = strconv.ParseUint(first(md[termKey]), 10, 64)
	return first(md[clusterKey]), term
}

// MeantFor returns a context under which calls say which worker they are meant for.
func MeantFor(ctx context.Context, id string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, workerKey, id)
}

// Meant returns what the caller said with MeantFor; "" when it said nothing.
func Meant(ctx context.Context) (id string) {
	md, _ := metadata.FromIncomingContext(ctx)
	return first(md[workerKey])
}
