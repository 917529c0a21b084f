package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"taskgrid/internal/rpc"
)

const (
	// writeTimeout bounds the writing of an answer. The longest, a page of tasks, has 16 MiB; a reader that takes less
	// than half a MiB per second is cut off. A stream of events bounds each of its writes instead.
	writeTimeout = 30 * time.Second
	// maxRequestID bounds a request id that the caller chose, in bytes, as internal/rpc does.
	maxRequestID = 128
)

// securityHeaders allow the page its own files and nothing else, and keep other pages from embedding or sniffing ours.
var securityHeaders = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
}

// around gives every request its id, its headers and its deadline, counts it, and turns a panic into INTERNAL.
func (s *REST) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		r = r.WithContext(rpc.WithRequestID(r.Context(), id))
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		w.Header().Set("X-Request-Id", id)
		begun := time.Now()
		// Only a writer without a connection, as in a test, cannot set a deadline.
		_ = http.NewResponseController(w).SetWriteDeadline(begun.Add(writeTimeout))
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				s.log.ErrorContext(r.Context(), "panic in a request", "request_id", id, "path", r.URL.Path, "panic", p)
				if rec.status != 0 {
					panic(http.ErrAbortHandler) // half an answer is written: end the connection, so that it shows
				}
				s.writeError(rec, r, fmt.Errorf("panic: %v", p))
			}
			s.metrics.observe(r.Pattern, rec.code(), time.Since(begun))
		}()
		next.ServeHTTP(rec, r)
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0 before the header is written
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.status = r.code()
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// code returns the status; net/http writes 200 where a handler says nothing.
func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// checkMethod refuses methods that are not allowed here, and bodies.
func checkMethod(w http.ResponseWriter, r *http.Request, allowed []string) error {
	var refused *apiError
	switch {
	case !slices.Contains(allowed, r.Method):
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		refused = newError(codes.Unimplemented, fmt.Sprintf("%s %s: only %s here", r.Method, r.URL.Path, list))
		refused.status = http.StatusMethodNotAllowed
	case r.ContentLength != 0:
		refused = newError(codes.InvalidArgument, "body: "+r.Method+" takes none here")
	default:
		return nil
	}
	w.Header().Set("Connection", "close") // or net/http would wait for the rest of the body
	return refused
}

// writeError writes err as JSON.
func (s *REST) writeError(w http.ResponseWriter, r *http.Request, err error) {
	api := toError(r.Context(), s.log, err)
	if err := writeJSON(w, api.status, api); err != nil {
		s.log.ErrorContext(r.Context(), "error not encoded", "request_id", api.RequestID, "error", err)
	}
}

// writeJSON writes v as one line. It encodes first, so that an answer is whole or an error. A reader who has gone is no
// error: there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// encodeJSON returns v as one line, with '<' and '&' as they are: nosniff and the content type keep a browser from taking
// it for a page.
func encodeJSON(v any) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// requestID returns the caller's id, if it is short and printable, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	odd := strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
	if id == "" || len(id) > maxRequestID || odd {
		return rpc.NewRequestID()
	}
	return id
}
