package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// minToken is the least that a join token has, in bytes: 16 random ones cannot be guessed. maxToken keeps it small
	// enough for the metadata of a call.
	minToken = 16
	maxToken = 1024

	// The token travels as `authorization: Bearer TOKEN`, as every gRPC library can send it.
	tokenKey    = "authorization"
	tokenPrefix = "Bearer "
)

// Token is the join token: the secret that all members of a grid share. It is shown in no log and no error. The zero
// value is none.
type Token struct{ secret []byte }

// ParseToken reads a token of 16 to 1024 printable ASCII characters. Blanks and line ends around it do not count, since
// a file ends with one. The error tells the rule and not the token.
func ParseToken(text []byte) (Token, error) {
	text = bytes.TrimSpace(text)
	if n := len(text); n < minToken || n > maxToken {
		return Token{}, fmt.Errorf("%d bytes: must be %d to %d bytes", n, minToken, maxToken)
	}
	for i, c := range text {
		if c <= ' ' || c > '~' {
			return Token{}, fmt.Errorf("byte %d is not a printable ASCII character", i+1)
		}
	}
	return Token{bytes.Clone(text)}, nil
}

// Present says whether there is a token.
func (t Token) Present() bool { return t.secret != nil }

// Format keeps the token out of whatever is printed.
func (t Token) Format(f fmt.State, _ rune) {
	if t.Present() {
		fmt.Fprint(f, "(join token)")
	}
}

// Require returns the error for a caller that did not send the token: UNAUTHENTICATED if it sent none, PERMISSION_DENIED
// if it sent another one. How long that takes tells nothing about the token.
func (t Token) Require(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	sent := md[tokenKey]
	if len(sent) != 1 || !strings.HasPrefix(sent[0], tokenPrefix) {
		return status.Error(codes.Unauthenticated, "join token: missing: this grid wants --join-token or --join-token-file")
	}
	want, got := sha256.Sum256(t.secret), sha256.Sum256([]byte(sent[0][len(tokenPrefix):]))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return status.Error(codes.PermissionDenied, "join token: wrong: it is not that of this grid")
	}
	return nil
}

// Show returns the option for a connection on which the calls of these services, such as "/taskgrid.v1.NameService/",
// are to show the token. Calls of others do not: who is at the other end need not be a member.
func (t Token) Show(services ...string) grpc.DialOption {
	return grpc.WithPerRPCCredentials(bearer{services: services, metadata: map[string]string{tokenKey: tokenPrefix + string(t.secret)}})
}

// bearer shows a token with the calls of some services.
type bearer struct {
	services []string
	metadata map[string]string
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	call, _ := credentials.RequestInfoFromContext(ctx)
	if !slices.Contains(b.services, serviceOf(call.Method)) {
		return nil, nil
	}
	return b.metadata, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. A token alone keeps out those who stumble in; on a
// network where others listen, it wants TLS beside it.
func (bearer) RequireTransportSecurity() bool { return false }
