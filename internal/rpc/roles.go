package rpc

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Callers says who may call what: for a method, such as "/taskgrid.v1.WorkerService/Process", or a whole service, such as
// "/taskgrid.v1.WorkerService/", the roles that may. The method's entry counts before its service's. What is not named,
// or for no role, is for every holder of a certificate.
type Callers map[string][]Role

// may returns the error for a caller whose certificate is for none of the roles that may call the method.
func (c Callers) may(ctx context.Context, method string) error {
	roles, named := c[method]
	if !named {
		roles = c[serviceOf(method)]
	}
	if len(roles) == 0 {
		return nil
	}
	caller, _ := peer.FromContext(ctx)
	if caller != nil {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && plays(info.State, roles...) {
			return nil
		}
	}
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.Name()
	}
	return status.Error(codes.PermissionDenied, fmt.Sprintf("certificate: %s wants one for %s", method, strings.Join(names, " or ")))
}

// serviceOf returns the part of a full method name that names its service: "/taskgrid.v1.WorkerService/".
func serviceOf(method string) string { return method[:strings.LastIndexByte(method, '/')+1] }

// Serve returns the options of a server that speaks TLS. With a CA it knows its callers, and lets each do what it may.
func (t *TLS) Serve(callers Callers) []grpc.ServerOption {
	opts := []grpc.ServerOption{grpc.Creds(transport{t})}
	if !t.Mutual() {
		return opts
	}
	return append(opts, Demand(callers.may)...)
}

// Demand returns the options of a server that asks may about each call, by its full method name, and answers what it
// returns.
func Demand(may func(ctx context.Context, method string) error) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := may(ctx, call.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, call *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := may(stream.Context(), call.FullMethod); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	}
}

// Dial returns the option of a connection that speaks TLS. The connection's authority names the role that its server
// must have: see To and ToAnybody.
func (t *TLS) Dial() grpc.DialOption { return grpc.WithTransportCredentials(transport{t}) }

// To returns the option of a connection to a process in a role. Where there is TLS, nobody else is talked to.
func To(role Role) grpc.DialOption { return grpc.WithAuthority(role.Name()) }

// ToAnybody returns the option of a connection to whatever member of the grid is there.
func ToAnybody() grpc.DialOption { return grpc.WithAuthority(anyRole) }
