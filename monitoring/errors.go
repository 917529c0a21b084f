package monitoring

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"taskgrid/internal/discovery"
	"taskgrid/internal/rpc"
)

// apiError is how a REST request fails: an HTTP status, and what stands in the body.
type apiError struct {
	status int
	// Code is the name of a gRPC status code, such as "NOT_FOUND".
	Code    string `json:"code"`
	Message string `json:"message"`
	// RequestID is also in the X-Request-Id header and in the logs.
	RequestID string `json:"request_id"`
}

func (e *apiError) Error() string { return e.Message }

// httpStatus is the HTTP status that fits a gRPC code. The others are our fault: 500.
var httpStatus = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.NotFound:           http.StatusNotFound,
	codes.FailedPrecondition: http.StatusConflict,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusGone, // the events are forgotten
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.Unimplemented:      http.StatusNotImplemented,
}

// newError returns an error of the code with its usual HTTP status.
func newError(code codes.Code, message string) *apiError {
	return &apiError{status: httpStatus[code], Code: codeName(code), Message: message}
}

// toError translates what a handler returned. What is not meant for the caller becomes INTERNAL without detail; the
// detail goes to the log.
func toError(ctx context.Context, log *slog.Logger, err error) *apiError {
	var api *apiError
	var query queryError
	switch {
	case errors.As(err, &api):
	case errors.As(err, &query):
		api = newError(codes.InvalidArgument, query.Error())
	default:
		api = fromStatus(err)
	}
	if api.status == 0 {
		log.ErrorContext(ctx, "request failed", "request_id", rpc.RequestID(ctx), "error", err)
		api = &apiError{status: http.StatusInternalServerError, Code: codeName(codes.Internal), Message: "internal error; the log of monitoring says more under this request_id"}
	}
	withID := *api
	withID.RequestID = rpc.RequestID(ctx)
	return &withID
}

// fromStatus translates the error of a call to the dispatcher. What the dispatcher says to its caller is said on; where
// it did not answer, that is said.
func fromStatus(err error) *apiError {
	switch code := status.Code(err); code {
	case codes.Canceled: // the caller hung up, or this process is stopping
		return newError(codes.Unavailable, "the request was ended before the dispatcher answered")
	case codes.Unavailable, codes.DeadlineExceeded:
		return newError(code, "dispatcher: "+discovery.Reason(err))
	default:
		return newError(code, status.Convert(err).Message())
	}
}

// codeName returns the name of a code as the proto documentation writes it.
func codeName(code codes.Code) string {
	names := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if int(code) >= len(names) {
		code = codes.Unknown
	}
	return names[code]
}
