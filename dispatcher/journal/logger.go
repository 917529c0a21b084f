package journal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// newLogger returns a logger for raft that hands everything to log. What raft calls information is chatter to us, and
// so is its warning at every start of a cluster of one that nobody else leads.
func newLogger(log *slog.Logger, alone bool) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(slogSink{log, alone})
	return l
}

// slogSink implements hclog.SinkAdapter.
type slogSink struct {
	log   *slog.Logger
	alone bool
}

// Accept implements hclog.SinkAdapter.
func (s slogSink) Accept(_ string, level hclog.Level, message string, args ...any) {
	l := slog.LevelDebug
	switch level {
	case hclog.Warn:
		if !s.alone || !strings.HasPrefix(message, "heartbeat timeout reached") {
			l = slog.LevelWarn
		}
	case hclog.Error:
		l = slog.LevelError
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, l) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.log.Log(ctx, l, "raft: "+message, args...)
}
